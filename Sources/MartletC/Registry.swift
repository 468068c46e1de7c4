import CMartlet
import Synchronization

/// What handles stand for. A handle is a number that is given out once, so that a closed, foreign or
/// made-up one is told from a live one, and an engine's from a job's.
final class Registry<Object: AnyObject & Sendable>: Sendable {
  private let objects = Mutex<[UInt: Object]>([:])
  private let what: String

  /// - Parameter what: what the handles stand for, in messages.
  init(of what: String) { self.what = what }

  /// A new handle.
  func add(_ object: Object) -> OpaquePointer {
    let id = nextHandle.add(1, ordering: .relaxed).newValue
    objects.withLock { $0[id] = object }
    // Never zero: the numbers begin above it and do not come round.
    return OpaquePointer(bitPattern: id)!
  }

  /// What a handle stands for.
  func object(_ handle: OpaquePointer?) throws -> Object {
    guard let object = objects.withLock({ $0[UInt(bitPattern: handle)] }) else {
      throw invalid(handle)
    }
    return object
  }

  /// The same, which the handle stands for no longer.
  func remove(_ handle: OpaquePointer?) throws -> Object {
    let object = objects.withLock { $0.removeValue(forKey: UInt(bitPattern: handle)) }
    guard let object else { throw invalid(handle) }
    return object
  }

  private func invalid(_ handle: OpaquePointer?) -> Failure {
    Failure(
      MARTLET_E_HANDLE,
      handle == nil
        ? "the \(what) is null" : "this is no \(what), or one that was closed or released before")
  }
}

/// The last number given out: one sequence for all kinds, so that no two handles are equal.
private let nextHandle = Atomic<UInt>(0x1000)

/// The engines that are open.
let engines = Registry<OpenEngine>(of: "engine")
/// The runs that were started and not released.
let jobs = Registry<Job>(of: "job")
