/// SplitMix64: small, and the same on every platform. Source: "Fast Splittable Pseudorandom Number
/// Generators".
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// The stream of a seed.
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// The seed of a run: `seed` mixed with the problem's id, so that runs of different problems share
  /// no random number and their outcomes are independent.
  static func mixed(_ seed: UInt64, _ text: String) -> UInt64 {
    var generator = SplitMix64(seed: seed)
    var value = generator.next()
    for byte in text.utf8 {
      generator = SplitMix64(seed: value ^ UInt64(byte))
      value = generator.next()
    }
    return value
  }
}
