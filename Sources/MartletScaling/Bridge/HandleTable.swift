import CMartlet
import MartletEngine
import Synchronization

/// Makes the numbers behind `martlet_run` and `martlet_branch` handles.
///
/// A number is never used twice in a process, so a stale handle cannot name something newer: that
/// is the generation check. Handles are pointer-sized numbers and never dereferenced.
enum Handle {
  private static let last = Atomic<UInt>(0)

  static func next() -> UInt { last.add(1, ordering: .relaxed).newValue }

  static func number(_ handle: OpaquePointer?) -> UInt { UInt(bitPattern: handle) }

  static func pointer(_ number: UInt) -> OpaquePointer? { OpaquePointer(bitPattern: number) }
}

/// The components that are alive, by the `martlet_run` handle each of them holds.
enum ScopeTable {
  private static let scopes = Mutex<[UInt: ComponentScope]>([:])

  /// Enters a scope and gives it its handle.
  static func insert(_ scope: ComponentScope) -> UInt {
    let number = Handle.next()
    scopes.withLock { $0[number] = scope }
    return number
  }

  static func remove(_ number: UInt) { scopes.withLock { _ = $0.removeValue(forKey: number) } }

  static subscript(handle: martlet_run?) -> ComponentScope? {
    scopes.withLock { $0[Handle.number(handle)] }
  }
}

/// A branch that a component holds, and the engine's run that it belongs to.
struct HeldBranch: Sendable {
  let branch: Branch
  let run: Run
}

/// The branches that one component holds, by their handles.
struct BranchTable {
  private var held: [UInt: HeldBranch] = [:]
  private var numbers: [ObjectIdentifier: UInt] = [:]

  /// The handle of a branch; a new one when it has none yet.
  mutating func handle(of branch: Branch, in run: Run) -> UInt {
    if let known = numbers[ObjectIdentifier(branch)] { return known }
    let number = Handle.next()
    held[number] = HeldBranch(branch: branch, run: run)
    numbers[ObjectIdentifier(branch)] = number
    return number
  }

  subscript(number: UInt) -> HeldBranch? { held[number] }

  mutating func remove(_ number: UInt) -> Branch? {
    guard let branch = held.removeValue(forKey: number)?.branch else { return nil }
    numbers.removeValue(forKey: ObjectIdentifier(branch))
    return branch
  }

  /// Takes all branches out, in order of path.
  mutating func removeAll() -> [Branch] {
    let all = ordered
    self = BranchTable()
    return all
  }

  /// All branches, in order of path.
  var ordered: [Branch] { held.values.map(\.branch).sorted { $0.path < $1.path } }
}

/// Calls that broke a rule of the interface: a dead or foreign handle, or the wrong thread. They
/// harm nobody but their caller; the conformance checker asks whether there were any.
enum Misuse {
  private static let most = 16
  private static let calls = Mutex<[String]>([])

  static func note(_ message: String) {
    calls.withLock { if $0.count < most { $0.append(message) } }
  }

  /// The first of them, since the process began.
  static var noted: [String] { calls.withLock { $0 } }
}
