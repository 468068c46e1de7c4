import MartletMachine
import Synchronization

/// A memory binder that takes notes and binds nothing.
final class BindingNotes: Sendable {
  private struct Note {
    var address: Int
    var length: Int
    var policy: MemoryPolicy
  }
  private let notes = Mutex<[Note]>([])

  var note: MemoryBinder {
    { memory, policy in
      let address = Int(bitPattern: memory.baseAddress)
      self.notes.withLock {
        $0.append(Note(address: address, length: memory.count, policy: policy))
      }
    }
  }

  var policies: [MemoryPolicy] { notes.withLock { $0.map(\.policy) } }
  var lengths: [Int] { notes.withLock { $0.map(\.length) } }
  /// From the first address noted.
  var offsets: [Int] {
    notes.withLock { all in all.map { $0.address - (all.first?.address ?? 0) } }
  }
  var nodes: [Int] {
    policies.flatMap { policy -> [Int] in
      switch policy {
      case .firstTouch: []
      case .bound(let node): [node]
      case .interleaved(let nodes): nodes
      }
    }
  }
}
