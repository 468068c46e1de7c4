/// The random draws of one seed for one purpose, addressed instead of consumed: a draw is a
/// function of where it is used, so no schedule, thread count or batch changes it.
struct RandomStream: Sendable {
  /// What a draw is for; draws for different purposes are independent.
  enum Purpose: UInt64, Sendable {
    /// Choosing the next token of a branch.
    case token = 1
    /// A strategy's own randomness, by branch.
    case branch = 2
    /// A strategy's own randomness, by run.
    case run = 3
    /// Choosing the first tokens of siblings together.
    case siblings = 4
    /// Testing guesses by rejection.
    case verification = 5
    /// Drawing guesses.
    case drafts = 6
    /// What processors of logits are handed.
    case processing = 7
  }

  private let key: (UInt32, UInt32)

  init(seed: UInt64, purpose: Purpose) {
    let mixed = mix64(seed ^ mix64(purpose.rawValue))
    key = (UInt32(truncatingIfNeeded: mixed), UInt32(truncatingIfNeeded: mixed >> 32))
  }

  private init(key: (UInt32, UInt32)) { self.key = key }

  /// One of many streams like this one, all independent; 0 is this one.
  func at(_ index: Int) -> RandomStream {
    guard index > 0 else { return self }
    let mixed = mix64(
      (UInt64(key.0) | UInt64(key.1) << 32) ^ mix64(UInt64(index) &+ 0x6472_6166_7473))
    return RandomStream(
      key: (UInt32(truncatingIfNeeded: mixed), UInt32(truncatingIfNeeded: mixed >> 32)))
  }

  /// 64 bits for a path and an index.
  func bits(path: BranchPath, index: UInt64) -> UInt64 {
    let words = words(path: path, index: index)
    return UInt64(words.0) | UInt64(words.1) << 32
  }

  private func words(path: BranchPath, index: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
    let hash = path.hashBits
    return Philox4x32.words(
      counter: (
        UInt32(truncatingIfNeeded: hash), UInt32(truncatingIfNeeded: hash >> 32),
        UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32)
      ), key: key)
  }

  /// All 128 bits for the token at `position` of a path's `epoch`: the number of
  /// ``uniform(path:epoch:position:)`` and 64 bits more.
  func noise(path: BranchPath, epoch: UInt32, position: Int) -> SamplingNoise {
    let index = UInt64(epoch) << 32 | UInt64(UInt32(truncatingIfNeeded: position))
    let words = words(path: path, index: index)
    let first = UInt64(words.0) | UInt64(words.1) << 32
    return SamplingNoise(
      uniform: Double(first >> 11) * 0x1p-53, bits: UInt64(words.2) | UInt64(words.3) << 32)
  }

  /// A number in 0 ..< 1 with 53 random bits, for the token at `position` of a path's `epoch`.
  func uniform(path: BranchPath, epoch: UInt32, position: Int) -> Double {
    let index = UInt64(epoch) << 32 | UInt64(UInt32(truncatingIfNeeded: position))
    return Double(bits(path: path, index: index) >> 11) * 0x1p-53
  }
}
