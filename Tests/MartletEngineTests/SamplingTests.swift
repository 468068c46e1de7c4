import Foundation
import MartletEngine
import MartletSimulation
import Testing

/// The rules as one would write them down: double precision, sorting, in the documented order.
/// Returns the probability of each token.
func referenceDistribution(
  _ row: [Float], _ options: SamplingOptions, history: [Int32] = []
) -> [Double] {
  var logits = row.map(Double.init)
  for (token, bias) in options.logitBias { logits[Int(token)] += Double(bias) }
  let window = history.suffix(options.penaltyWindow)
  for token in Set(window) {
    var value = logits[Int(token)]
    let r = Double(options.repetitionPenalty)
    value = value > 0 ? value / r : value * r
    value -= Double(options.presencePenalty)
    value -= Double(options.frequencyPenalty) * Double(window.count { $0 == token })
    logits[Int(token)] = value
  }
  for token in options.suppressed { logits[Int(token)] = -.infinity }
  var alive = logits.indices.filter { logits[$0] > -.infinity }
  let top = logits.max()!
  if options.temperature == 0 {
    let best = alive.first { logits[$0] == top }!
    return logits.indices.map { $0 == best ? 1 : 0 }
  }
  let tempered = logits.map { ($0 - top) / Double(options.temperature) }
  if let n = options.topNSigma {
    let values = alive.map { tempered[$0] }
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    alive = alive.filter { tempered[$0] >= -Double(n) * variance.squareRoot() - 1e-9 }
  }
  func ranked(_ alive: [Int]) -> [Int] {
    alive.sorted { (tempered[$1], $0) < (tempered[$0], $1) }
  }
  if let k = options.topK { alive = ranked(alive).prefix(k).sorted() }
  if options.topP < 1 {
    let total = alive.reduce(0) { $0 + exp(tempered[$1]) }
    var mass = 0.0
    var kept: [Int] = []
    for id in ranked(alive) where mass < Double(options.topP) * total {
      kept.append(id)
      mass += exp(tempered[id])
    }
    alive = kept.sorted()
  }
  if options.minP > 0 { alive = alive.filter { exp(tempered[$0]) >= Double(options.minP) } }
  alive = referenceLaterRules(alive, tempered, options, ranked: ranked)
  let total = alive.reduce(0) { $0 + exp(tempered[$1]) }
  var result = [Double](repeating: 0, count: row.count)
  for id in alive { result[id] = exp(tempered[id]) / total }
  return result
}

/// Rules after min-p, on token ids in order, with XTC always tossing heads.
func referenceLaterRules(
  _ start: [Int], _ tempered: [Double], _ options: SamplingOptions, ranked: ([Int]) -> [Int]
) -> [Int] {
  var alive = start
  func probabilities() -> [Int: Double] {
    let total = alive.reduce(0) { $0 + exp(tempered[$1]) }
    return Dictionary(uniqueKeysWithValues: alive.map { ($0, exp(tempered[$0]) / total) })
  }
  func entropy(_ p: [Int: Double]) -> Double {
    -p.values.reduce(0) { $0 + ($1 > 0 ? $1 * log($1) : 0) }
  }
  func keep(atLeast bound: Double) {
    let p = probabilities()
    let most = p.values.max()!
    alive = alive.filter { p[$0]! >= bound * (1 - 1e-9) || p[$0]! == most }
  }
  if options.typical < 1 {
    let p = probabilities()
    let h = entropy(p)
    let distances = alive.map { abs(-log(p[$0]!) - h) }.sorted()
    for distance in distances {
      let near = alive.filter { abs(-log(p[$0]!) - h) <= distance + 1e-6 }
      if near.reduce(0, { $0 + p[$1]! }) >= Double(options.typical) {
        alive = near
        break
      }
    }
  }
  if options.epsilon > 0 { keep(atLeast: Double(options.epsilon)) }
  if options.eta > 0 {
    let eta = Double(options.eta)
    keep(atLeast: min(eta, eta.squareRoot() * exp(-entropy(probabilities()))))
  }
  if options.tailFree < 1, alive.count > 2 {
    let p = probabilities()
    let order = ranked(alive)
    let sorted = order.map { p[$0]! }
    let bends = (0..<sorted.count - 2).map { (i: Int) -> Double in
      let slope = sorted[i] - sorted[i + 1]
      return abs(slope - (sorted[i + 1] - sorted[i + 2]))
    }
    let whole = bends.reduce(0, +)
    var passed = 0.0
    if let cut = bends.indices.first(where: {
      passed += bends[$0]
      return passed > Double(options.tailFree) * whole
    }) {
      alive = order.prefix(max(1, cut)).sorted()
    }
  }
  if options.topA > 0 {
    let most = probabilities().values.max()!
    keep(atLeast: Double(options.topA) * most * most)
  }
  if options.xtcProbability >= 1 {
    let p = probabilities()
    let above = ranked(alive).prefix { p[$0]! >= Double(options.xtcThreshold) }
    if above.count > 1 {
      let out = Set(above.dropLast())
      alive = alive.filter { !out.contains($0) }
    }
  }
  if let tau = options.mirostatTau { keep(atLeast: exp2(-Double(2 * tau))) }
  return alive
}

/// Pearson's chi-square over cells of expectation 5 or more (the rest pooled), as a z-score by the
/// Wilson-Hilferty cube root. A token of probability 0 that was drawn gives infinity.
func chiSquareScore(_ counts: [Int], _ probabilities: [Double]) -> Double {
  let total = Double(counts.reduce(0, +))
  var statistic = 0.0
  var cells = 0
  var (pooledCount, pooledExpectation) = (0.0, 0.0)
  for (count, probability) in zip(counts, probabilities) {
    if probability == 0 {
      if count > 0 { return .infinity }
      continue
    }
    let expectation = probability * total
    if expectation < 5 {
      pooledCount += Double(count)
      pooledExpectation += expectation
    } else {
      statistic += (Double(count) - expectation) * (Double(count) - expectation) / expectation
      cells += 1
    }
  }
  if pooledExpectation > 1 {
    let difference = pooledCount - pooledExpectation
    statistic += difference * difference / pooledExpectation
    cells += 1
  }
  guard cells > 1 else { return 0 }
  let freedom = Double(cells - 1)
  let variance = 2 / (9 * freedom)
  return (pow(statistic / freedom, 1 / 3) - (1 - variance)) / variance.squareRoot()
}

@Suite("Sampling")
struct SamplingTests {
  static let chains = [
    "", "temperature=0.5", "temperature=1.7", "top-k=1", "top-k=3", "top-k=40,temperature=2",
    "top-p=0.5", "top-p=0.9,temperature=0.8", "top-p=0.01", "min-p=0.1", "min-p=1",
    "top-n-sigma=1", "top-n-sigma=0.5,temperature=3", "top-n-sigma=0",
    "top-n-sigma=1.5,top-k=20,top-p=0.8,min-p=0.05,temperature=1.3",
    "repetition-penalty=1.5", "presence-penalty=1", "frequency-penalty=0.7,penalty-window=5",
    "repetition-penalty=0.7,presence-penalty=-1,top-p=0.7", "temperature=0",
    "temperature=0,frequency-penalty=2", "logit-bias=3:5,logit-bias=4:-inf,top-k=5",
    "penalty-window=0,repetition-penalty=9", "typical=0.7", "typical=0.2,temperature=2",
    "epsilon=0.03", "eta=0.05,temperature=1.5", "top-a=0.4", "tail-free=0.6,top-k=30",
    "xtc-probability=1,xtc-threshold=0.05", "mirostat-tau=1.5", "suppress=3,suppress=5,top-p=0.9",
    "top-p=0.9,typical=0.9,epsilon=0.01,top-a=0.1,xtc-probability=1,xtc-threshold=0.2",
    "draw=gumbel", "draw=gumbel,temperature=0.6,top-p=0.9,min-p=0.02",
  ]

  /// Rows that invite mistakes, by seed: smooth, tied, one-hot, flat, with impossible tokens.
  static func row(_ random: inout TestRandom, vocabulary: Int, shape: Int) -> [Float] {
    switch shape % 6 {
    case 0: (0..<vocabulary).map { _ in Float(random.uniform() * 8 - 4) }
    case 1: (0..<vocabulary).map { _ in Float(Int.random(in: -2...2, using: &random)) }
    case 2: (0..<vocabulary).map { $0 == vocabulary / 2 ? 30 : -10 }
    case 3: [Float](repeating: 1.5, count: vocabulary)
    case 4:
      (0..<vocabulary).map { $0 % 3 == 1 ? -.infinity : Float(random.uniform() * 5) }
    default: (0..<vocabulary).map { _ in Float(-log(random.uniform()) * 3) }
    }
  }

  /// False-alarm rate: each chain and shape is one test at z < 5.5, 2e-8 one-sided; 210 tests with
  /// fixed seeds, so under 5e-6 in all (and it never flickers).
  @Test("every rule and chain draws from the exact distribution", arguments: chains)
  func distribution(chain: String) throws {
    let options = try SamplingOptions.parse(chain)
    for shape in 0..<6 {
      var random = TestRandom(seed: UInt64(shape) &* 77 &+ 5)
      let vocabulary = [40, 17, 9, 64, 31, 200][shape]
      let row = SamplingTests.row(&random, vocabulary: vocabulary, shape: shape)
      let history = (0..<30).map { _ in Int32.random(in: 0..<9, using: &random) }
      let expected = referenceDistribution(row, options, history: history)
      var sampler = Sampler(options: options)
      var counts = [Int](repeating: 0, count: vocabulary)
      let logprobs = logSoftmax(row)
      let entropy = -logprobs.reduce(0) { $0 + ($1 > -.infinity ? exp($1) * $1 : 0) }
      var worst = 0.0
      for _ in 0..<4000 {
        let drawn = try sampler.sample(
          row.span, history: history[...],
          noise: SamplingNoise(uniform: random.uniform(), bits: random.next()))
        counts[Int(drawn.token)] += 1
        worst = max(worst, abs(Double(drawn.logprob) - logprobs[Int(drawn.token)]))
        worst = max(worst, abs(Double(drawn.entropy) - entropy))
      }
      #expect(worst < 4e-6, "\(chain), shape \(shape): log-probability or entropy")
      let score = chiSquareScore(counts, expected)
      #expect(score < 5.5, "\(chain), shape \(shape): z = \(score)")
    }
  }

  @Test("the kept set and the draw equal a sort-based definition, for many rows and vocabularies")
  func inverseCDF() throws {
    var random = TestRandom(seed: 99)
    for trial in 0..<600 {
      let vocabulary = [2, 3, 5, 16, 100, 1000][trial % 6]
      let options = try SamplingOptions.parse(
        SamplingTests.chains.filter { !$0.contains("draw") && !$0.contains("suppress") }[
          trial % (SamplingTests.chains.count - 3)
        ]
        .replacingOccurrences(of: "logit-bias=3:5,logit-bias=4:-inf,", with: ""))
      let row = SamplingTests.row(&random, vocabulary: vocabulary, shape: trial / 6)
      let history = (0..<20).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
      let expected = referenceDistribution(row, options, history: history)
      var sampler = Sampler(options: options)
      for _ in 0..<5 {
        let uniform = random.uniform()
        let token = Int(
          try sampler.sample(row.span, history: history[...], uniform: uniform).token)
        let before = expected[..<token].reduce(0, +)
        #expect(expected[token] > 0, "trial \(trial): token \(token) should be cut")
        #expect(
          before - 1e-6 <= uniform && uniform <= before + expected[token] + 1e-6,
          "trial \(trial): token \(token) at \(uniform)")
      }
    }
  }

  @Test("unusable rows are errors; greedy breaks ties by the lowest id")
  func edges() throws {
    var sampler = Sampler(options: .greedy)
    let tied: [Float] = [1, 3, 3, 2]
    #expect(try sampler.sample(tied.span, history: [], uniform: 0.9).token == 1)
    for bad in [[Float.nan, 1], [1, .infinity], [-.infinity, -.infinity], [1, .nan]] {
      #expect(
        engineError { try sampler.sample(bad.span, history: [], uniform: 0.5) }?.code == .logits)
    }
    var forbidding = SamplingOptions()
    forbidding.logitBias = [0: -.infinity, 1: -.infinity]
    var none = Sampler(options: forbidding)
    #expect(
      engineError { try none.sample([Float(1), 2].span, history: [], uniform: 0.5) }?.code
        == .argument)
    var boosting = SamplingOptions()
    boosting.logitBias = [0: 3e38]
    var beyond = Sampler(options: boosting)
    #expect(
      engineError { try beyond.sample([Float(3e38), 2].span, history: [], uniform: 0.5) }?.code
        == .argument)
    let tiny: [Float] = [-1e30, 1e30, -.infinity, 1e30]
    var plain = Sampler(options: .init())
    let drawn = try plain.sample(tiny.span, history: [], uniform: 0.99)
    #expect(drawn.token == 3 && abs(drawn.logprob + Float(log(2.0))) < 1e-6)
    #expect(abs(drawn.entropy - Float(log(2.0))) < 1e-6)
  }

  @Test("parsing names the key and value at fault")
  func parse() throws {
    let options = try SamplingOptions.parse(" top-n-sigma=1, temperature = 0.8 ,logit-bias=5:-2.5")
    #expect(options.topNSigma == 1 && options.temperature == 0.8 && options.logitBias == [5: -2.5])
    #expect(try SamplingOptions.parse("") == SamplingOptions())
    #expect(try SamplingOptions.parse("top-k=7").topK == 7)
    let failures = [
      ("temprature=1", "top-n-sigma"), ("temperature", "temperature=VALUE"),
      ("temperature=hot", "hot"), ("temperature=-1", "-1"), ("top-k=0", "1 or more"),
      ("top-k=2.5", "whole"), ("top-p=0", "above 0"), ("top-p=1.5", "1.5"), ("min-p=2", "0 to 1"),
      ("top-n-sigma=-1", "0 or more"), ("repetition-penalty=0", "above 0"),
      ("penalty-window=-3", "-3"), ("logit-bias=3", "TOKEN:VALUE"), ("logit-bias=-3:1", "-3"),
      ("temperature=nan", "nan"), ("temperature=1,temperature=2", "twice"),
      ("temperature=1,,top-k=2", "empty"), ("presence-penalty=inf", "finite"),
    ]
    for (text, part) in failures {
      let error = engineError { try SamplingOptions.parse(text) }
      #expect(error?.code == .argument, "\(text)")
      #expect(error?.message.contains(part) == true, "\(text): \(error?.message ?? "no error")")
    }
  }

  /// 6,000 branches, one token each: 14 cells at z < 5.5.
  @Test("the engine's draws over branches follow the model's distribution")
  func throughTheEngine() throws {
    let backend = hashedBackend(spread: 1.5)
    let engine = try Engine(backend: backend)
    let prompt = tokens("abc")
    let expected = referenceDistribution(
      backend.world.logits(after: prompt), try .parse("temperature=0.7,top-k=9"))
    var counts = [Int](repeating: 0, count: expected.count)
    for seed in UInt64(0)..<6 {
      let run = try engine.makeRun(
        prompt: prompt, seed: seed, sampling: try .parse("temperature=0.7,top-k=9"))
      let children = try run.root.fork(500)
      try run.advanceBlocking(children, Advance(maxTokens: 1))
      for child in children { counts[Int(child.tokens[0])] += 1 }
      // Other draws after truncating: a new epoch.
      let first = children.map(\.tokens)
      for child in children { try child.truncate(toGenerated: 0) }
      try run.advanceBlocking(children, Advance(maxTokens: 1))
      for child in children { counts[Int(child.tokens[0])] += 1 }
      #expect(children.map(\.tokens) != first)
    }
    #expect(counts.reduce(0, +) == 6000)
    #expect(chiSquareScore(counts, expected) < 5.5)
  }
}
