/// States inside free text, such as a JSON string: they take a known set of the bytes below 128, and
/// all whole characters that begin with some of the bytes above, and come back to themselves or to a
/// state that does the same.
///
/// Almost every token is allowed there. Knowing it beforehand lets a mask take whole subtrees of the
/// vocabulary's trie instead of stepping through them.
struct WideStates: Sendable {
  /// The set of a state; 0 where it is not wide.
  private(set) var low: [UInt64]
  private(set) var high: [UInt64]
  /// Bytes, less 0xC0, of which all characters that begin with them are taken.
  private(set) var leads: [UInt64]
  /// How many characters in a row are taken like that: all that a token can hold, or fewer where a
  /// length is limited.
  private(set) var run: [Int32]

  /// Fewer than this many bytes are not worth a test at each trie node.
  private static let least = 24

  init(next: [Int32], classes: ByteClasses, height: [Int32]) {
    let count = height.count
    low = [UInt64](repeating: 0, count: count)
    high = low
    leads = low
    run = [Int32](repeating: 0, count: count)
    var follower = [Int32](repeating: -1, count: count)
    for state in 0..<count {
      guard let target = Self.commonTarget(state, next, classes) else { continue }
      guard height[target] == height[state] else { continue }
      for byte in 0..<128
      where next[state * classes.count + Int(classes.classOf[byte])] == Int32(target) {
        if byte < 64 {
          low[state] |= 1 << UInt64(byte)
        } else {
          high[state] |= 1 << UInt64(byte - 64)
        }
      }
      leads[state] = Self.leads(from: state, to: Int32(target), next, classes, height)
      follower[state] = Int32(target)
    }
    measureRuns(follower)
  }

  /// Where most bytes below 128 lead, if enough do.
  private static func commonTarget(_ state: Int, _ next: [Int32], _ classes: ByteClasses) -> Int? {
    var counts: [Int32: Int] = [:]
    for byte in 0..<128 {
      let target = next[state * classes.count + Int(classes.classOf[byte])]
      if target >= 0 { counts[target, default: 0] += 1 }
    }
    guard let best = counts.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) else { return nil }
    return best.value >= least ? Int(best.key) : nil
  }

  /// The first bytes of which every character leads from `state` to `target`.
  private static func leads(
    from state: Int, to target: Int32, _ next: [Int32], _ classes: ByteClasses, _ height: [Int32]
  ) -> UInt64 {
    var result: UInt64 = 0
    for sequence in others {
      for lead in sequence[0] {
        var states: Set<Int32> = [Int32(state)]
        for bytes in [lead...lead] + sequence.dropFirst() {
          let columns = Set(bytes.map { classes.classOf[Int($0)] })
          states = Set(
            states.flatMap { from in
              columns.map { from < 0 ? -1 : next[Int(from) * classes.count + Int($0)] }
            })
          if states.contains(where: { $0 < 0 || height[Int($0)] != height[state] }) {
            states = [-1]
          }
        }
        if states == [target] { result |= 1 << UInt64(lead - 0xC0) }
      }
    }
    return result
  }

  /// The characters beyond ASCII. No lead byte is in two of the sequences.
  private static let others = UTF8Sequences.of(0x80...0xD7FF) + UTF8Sequences.of(0xE000...0x10FFFF)

  private mutating func measureRuns(_ follower: [Int32]) {
    for state in run.indices where follower[state] >= 0 && run[state] == 0 {
      var chain: [Int] = []
      var onChain = Set<Int>()
      var at = state
      var length: Int32 = 0
      while true {
        if follower[at] < 0 { break }
        if onChain.contains(at) {
          length = .max / 2
          break
        }
        if run[at] > 0 {
          length = run[at]
          break
        }
        chain.append(at)
        onChain.insert(at)
        let target = Int(follower[at])
        // The same characters must be taken all along.
        guard follower[target] >= 0, low[target] == low[at], high[target] == high[at],
          leads[target] == leads[at]
        else { break }
        at = target
      }
      for link in chain.reversed() {
        length = min(length + 1, .max / 2)
        run[link] = length
      }
    }
  }
}
