import MartletKernels

/// Keys, and queries of another distribution than theirs, as attention has them.
///
/// Keys: 512 clusters and noise 0.7 times as wide, on a spectrum that falls as 1/√(1 + i/8), in a
/// random rotation, around a mean. Queries: 24 directions near the keys' widest ones, their
/// strengths falling as 1/√(1 + i/4), around another mean, with noise of 0.35 in every direction.
/// So what queries look for is a low-rank part of what keys are, and no query lies among the keys.
struct SyntheticAttention {
  let dimensions: Int
  private var random = SyntheticRandom()
  private let spectrum: [Float]
  private let reflections: [[Float]]
  private let clusters: [[Float]]
  private let mean: [Float]
  private let directions: [[Float]]
  private let queryMean: [Float]

  init(dimensions: Int) {
    self.dimensions = dimensions
    let spectrum = (0..<dimensions).map { 1 / (1 + Float($0) / 8).squareRoot() }
    var random = SyntheticRandom()
    func normals() -> [Float] { (0..<dimensions).map { _ in random.normal() } }
    let reflections = (0..<8).map { _ in Self.unit(normals()) }
    func axis(_ i: Int, _ length: Float) -> [Float] {
      var x = [Float](repeating: 0, count: dimensions)
      x[i % dimensions] = length
      return Self.rotated(x, reflections)
    }
    clusters = (0..<512).map { _ in zip(normals(), spectrum).map { $0 * $1 } }
    mean = axis(5, 1.5)
    let tilt = 1.6 / Float(dimensions).squareRoot()
    let directions = (0..<24).map { i in
      Self.unit(zip(axis(i, 0.6), normals()).map { $0 + tilt * $1 })
    }
    queryMean = (0..<dimensions).map { d in
      directions.reduce(0) { $0 + $1[d] } / Float(directions.count).squareRoot()
    }
    self.spectrum = spectrum
    self.reflections = reflections
    self.directions = directions
    self.random = random
  }

  mutating func key() -> [Float] {
    let cluster = clusters[Int(random.bits() % UInt64(clusters.count))]
    var x = [Float](repeating: 0, count: dimensions)
    for d in 0..<dimensions { x[d] = cluster[d] + 0.7 * random.normal() * spectrum[d] }
    x = Self.rotated(x, reflections)
    for d in 0..<dimensions { x[d] += mean[d] }
    return x
  }

  mutating func query() -> [Float] {
    var x = queryMean
    for (i, direction) in directions.enumerated() {
      let strength = 2.5 * random.normal() / (1 + Float(i) / 4).squareRoot()
      for d in 0..<dimensions { x[d] += strength * direction[d] }
    }
    for d in 0..<dimensions { x[d] += 0.35 * random.normal() }
    return x
  }

  mutating func value() -> [Float] { (0..<dimensions).map { _ in random.normal() } }

  private static func unit(_ x: [Float]) -> [Float] {
    let length = x.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return x.map { $0 / length }
  }

  private static func rotated(_ x: [Float], _ reflections: [[Float]]) -> [Float] {
    var x = x
    for normal in reflections {
      var dot: Float = 0
      for d in x.indices { dot += x[d] * normal[d] }
      for d in x.indices { x[d] -= 2 * dot * normal[d] }
    }
    return x
  }
}

/// The same numbers in every run.
private struct SyntheticRandom {
  private var state: UInt64 = 0

  mutating func bits() -> UInt64 {
    // SplitMix64.
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// About normal: mean 0, variance 1.
  mutating func normal() -> Float {
    let word = bits()
    // Four sixteenths of a word, each uniform.
    let sum = (0..<4).reduce(0) { $0 + Int(word >> (16 * UInt64($1)) & 0xffff) }
    return (Float(sum) / 65_536 - 2) * 1.732_050_8
  }
}
