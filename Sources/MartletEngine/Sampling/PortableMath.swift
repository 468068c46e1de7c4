/// Exponential and logarithm built from IEEE additions, multiplications and one division, so that
/// they give the same bits on every CPU and with every C library.
enum PortableMath {
  /// eˣ for x ≤ 0 (−∞ included), four at a time; relative error below 1e-14, 0 below −708.
  @inline(__always)
  static func exp(_ x: SIMD4<Double>) -> SIMD4<Double> {
    let tooSmall = x .< -708
    let clamped = x.replacing(with: -708, where: tooSmall)
    // Adding and subtracting 1.5·2⁵² rounds to the nearest integer, which then sits in the low bits.
    let magic = 0x1.8p52
    let shifted = clamped * 0x1.71547652b82fep0 + magic
    let n = shifted - magic
    let r = (clamped - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33
    var p = SIMD4<Double>(repeating: 1.0 / 39_916_800)
    p = p * r + 1.0 / 3_628_800
    p = p * r + 1.0 / 362_880
    p = p * r + 1.0 / 40_320
    p = p * r + 1.0 / 5_040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = p * r + 1
    p = p * r + 1
    let bits = unsafeBitCast(shifted, to: SIMD4<Int64>.self)
    let scale = unsafeBitCast((bits &+ 1023) &<< 52, to: SIMD4<Double>.self)
    return (p * scale).replacing(with: 0, where: tooSmall)
  }

  /// eˣ for x ≤ 0.
  static func exp(_ x: Double) -> Double { exp(SIMD4(repeating: x))[0] }

  /// The natural logarithm of a normal positive number; absolute error below 1e-14 near 1.
  static func log(_ x: Double) -> Double {
    var exponent = Double(x.exponent)
    var m = x.significand
    if m > 0x1.6a09e667f3bcdp0 {
      m *= 0.5
      exponent += 1
    }
    let s = (m - 1) / (m + 1)
    let square = s * s
    var series = 1.0 / 21
    for k in stride(from: 19, through: 1, by: -2) { series = series * square + 1 / Double(k) }
    return exponent * 0x1.62e42fefa39efp-1 + 2 * s * series
  }
}
