/// The counter-based generator Philox4x32-10: 128 counter bits and 64 key bits give 128 random
/// bits, with no state in between. Source: "Parallel Random Numbers: As Easy as 1, 2, 3".
public enum Philox4x32 {
  /// Four random words for a counter and a key, after 10 rounds.
  public static func words(
    counter: (UInt32, UInt32, UInt32, UInt32), key: (UInt32, UInt32)
  ) -> (UInt32, UInt32, UInt32, UInt32) {
    var (c0, c1, c2, c3) = counter
    var (k0, k1) = key
    for _ in 0..<10 {
      let low = UInt64(c0) &* 0xD251_1F53
      let high = UInt64(c2) &* 0xCD9E_8D57
      (c0, c1, c2, c3) = (
        UInt32(truncatingIfNeeded: high >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: high),
        UInt32(truncatingIfNeeded: low >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: low)
      )
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
    }
    return (c0, c1, c2, c3)
  }
}
