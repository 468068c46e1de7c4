import Foundation
import MartletEngine
import MartletKernels
import MartletMachine

/// The rows of one vocabulary and shape: every chain and number of branches over them, in turns.
struct SampleBenchCase {
  private let vocabulary: Int
  private let shape: SampleBench.Shape
  private let settings: SampleBench.Settings
  private let options: [SamplingOptions]
  private var samplers: [Sampler]
  private let logits: [[Float]]
  /// Distinct tokens, as many as the longest penalty window usually sees.
  private let history: [Int32]
  private var samples: [[Samples]]
  private var kept: [[Double]]
  private var draws = 0

  init(
    _ vocabulary: Int, _ shape: SampleBench.Shape, _ options: [SamplingOptions],
    _ settings: SampleBench.Settings
  ) throws {
    self.vocabulary = vocabulary
    self.shape = shape
    self.settings = settings
    self.options = options
    samplers = options.map(Sampler.init)
    var random = SeededRandom(state: UInt64(vocabulary))
    logits = (0..<(settings.branches.max() ?? 1)).map { _ in
      SampleBenchCase.row(vocabulary, shape, &random)
    }
    history = (0..<256).map { Int32(($0 * 1999 + 3) % vocabulary) }
    samples = options.map { _ in settings.branches.map { _ in Samples() } }
    kept = options.map { _ in settings.branches.map { _ in 0 } }
  }

  mutating func measure() throws {
    for round in 0...settings.repetitions {
      for chain in options.indices {
        for (place, branches) in settings.branches.enumerated() {
          let calls = max(1, 16 / branches)
          var left = 0
          let begin = monotonicNanoseconds()
          for _ in 0..<calls {
            for branch in 0..<branches { left += try draw(chain, branch) }
          }
          let nanoseconds = Double(monotonicNanoseconds() - begin)
          // The first round warms up.
          guard round > 0 else { continue }
          samples[chain][place].append((nanoseconds / Double(calls)).rounded())
          kept[chain][place] = Double(left) / Double(calls * branches)
        }
      }
    }
  }

  /// Draws one token; how many the rules left.
  private mutating func draw(_ chain: Int, _ branch: Int) throws -> Int {
    draws += 1
    let row = logits[branch]
    let noise = SamplingNoise(
      uniform: Double((draws &* 7919) % 10007) / 10007, bits: UInt64(draws))
    let drawn = try samplers[chain].sample(row.span, history: history[...], noise: noise)
    return drawn.kept
  }

  func rows(_ limits: MachineLimits) -> [SampleBench.Row] {
    options.indices.flatMap { chain in
      settings.branches.enumerated().map { place, branches in
        let own = samples[chain][place]
        let interval = own.interval
        let logits = Double(vocabulary * branches)
        let operations = logits * (options[chain].temperature == 1 ? 18 : 34)
        return SampleBench.Row(
          vocab: vocabulary, chain: settings.chains[chain], branches: branches,
          shape: shape.rawValue, kept: kept[chain][place],
          variant: kernelVariants().first { $0.operation == "logits_sample_f32" && $0.serving }?
            .name ?? "",
          medianNs: own.median, minNs: own.minimum, lowNs: interval.lowerBound,
          highNs: interval.upperBound,
          samplesNs: own.nanoseconds, branchNs: own.median / Double(branches), bytes: logits * 4,
          operations: operations,
          fractionOfLimit: operations / limits.fmaF32Gops / max(own.median, 1),
          command: settings.command
            + " --vocab \(vocabulary) --chain '\(settings.chains[chain])' --branches \(branches)"
            + " --shape \(shape.rawValue)")
      }
    }
  }

  private static func row(
    _ vocabulary: Int, _ shape: SampleBench.Shape, _ random: inout SeededRandom
  ) -> [Float] {
    func normal() -> Float {
      let radius = (-2 * log(Double.random(in: 1e-300..<1, using: &random))).squareRoot()
      return Float(radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random)))
    }
    var row = (0..<vocabulary).map { _ in
      normal() * (shape == .peaked ? 1.5 : shape == .model ? 2.4 : 0.3)
    }
    switch shape {
    case .peaked:
      for i in 0..<min(5, vocabulary) { row[(i * 37777 + 5) % vocabulary] = Float(25 - 2 * i) }
    case .model:
      for i in 0..<min(3000, vocabulary) {
        row[(i * 41 + 7) % vocabulary] = Float(17 - 1.9 * log(Double(i + 1))) + 0.3 * normal()
      }
    case .flat: break
    }
    return row
  }
}

/// SplitMix64, so that rows are the same in every run.
private struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
