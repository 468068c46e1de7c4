import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Every token may come next, by a law of its own at each place.
private let world = HashedWorld(seed: 11, endBias: -.infinity)

/// A processor of logits that a test writes.
private final class Written: LogitsProcessor {
  let name = "the test's processor"
  private let body: @Sendable (inout [Float], LogitsChoice) -> Void

  init(_ body: @escaping @Sendable (inout [Float], LogitsChoice) -> Void) { self.body = body }

  func process(_ row: inout [Float], for choice: LogitsChoice) { body(&row, choice) }
}

@Suite("Samplers")
struct PluginSamplerTests {
  private func texts(
    _ processor: (any LogitsProcessor)?, seed: UInt64 = 9, branches: Int = 3,
    sampling: SamplingOptions = SamplingOptions(), drafting: Drafting = .off, crowd: Bool = false
  ) throws -> (tokens: [[Int32]], logprobs: [[Float]]) {
    let engine = try Engine(backend: SimulatedBackend(world: world, contextLength: 512))
    let other = try engine.makeRun(prompt: [3, 2, 1], seed: 1)
    if crowd { try other.submit(other.root.fork(4), Advance(maxTokens: 60)) }
    let run = try engine.makeRun(
      prompt: [0, 1, 2], seed: seed, sampling: sampling, drafting: drafting)
    run.processor = processor
    let branches = try run.root.fork(branches)
    try run.advanceBlocking(branches, Advance(maxTokens: 40))
    return (branches.map(\.tokens), branches.map(\.logprobs))
  }

  @Test("one that changes nothing changes nothing, and log-probabilities stay the model's")
  func nothing() throws {
    let plain = try texts(nil)
    #expect(try texts(Written { _, _ in }) == plain)
    // What it forbids never comes; what comes is as likely as the model says.
    let odd = try texts(
      Written { row, _ in for index in row.indices where index % 2 == 0 { row[index] = -.infinity }
      })
    #expect(odd.tokens != plain.tokens && odd.tokens.joined().allSatisfy { $0 % 2 == 1 })
    for (tokens, logprobs) in zip(odd.tokens, odd.logprobs) {
      for (place, token) in tokens.enumerated() {
        let row = world.logits(after: [0, 1, 2] + tokens[..<place]).map(Double.init)
        let own = row[Int(token)] - log(row.reduce(0) { $0 + exp($1) })
        #expect(abs(own - Double(logprobs[place])) < 1e-4)
      }
    }
  }

  @Test("no text depends on drafts, neighbours or the order of draws")
  func invariance() throws {
    let noisy = Written { row, choice in
      var bits = choice.noise
      for index in row.indices {
        bits = bits &* 6_364_136_223_846_793_005 &+ UInt64(choice.tokens.count + index)
        row[index] += Float(bits >> 40) * 0x1p-22
      }
    }
    let plain = try texts(noisy)
    #expect(try texts(noisy, drafting: Drafting([.ngram, .siblings])) == plain)
    #expect(try texts(noisy, crowd: true) == plain)
    #expect(try texts(noisy, seed: 10).tokens != plain.tokens)
    #expect(plain.tokens[0] != plain.tokens[1])
    // Siblings that draw together do so from one row: distinct first tokens, whatever the noise.
    var together = SamplingOptions()
    together.draw = .withoutReplacement
    let first = try texts(noisy, branches: 4, sampling: together).tokens.map(\.[0])
    #expect(Set(first).count == 4)
  }

  @Test("a branch on another prompt is left alone")
  func otherPrompts() throws {
    let engine = try Engine(backend: SimulatedBackend(world: world, contextLength: 512))
    func judged(_ processor: (any LogitsProcessor)?) throws -> [Int32] {
      let run = try engine.makeRun(prompt: [0, 1], seed: 4)
      run.processor = processor
      let judge = try run.open(prompt: [2, 2]).fork(1)
      try run.advanceBlocking(judge, Advance(maxTokens: 20))
      return judge[0].tokens
    }
    let plain = try judged(nil)
    #expect(try judged(Written { row, _ in row[0] = 100 }) == plain)
  }

  @Test("a request names one, with options, and the result says so")
  func requests() async throws {
    let (session, engine) = try makeSession(world, plugins: shipped)
    var wanted = try request("abc", "sample")
    wanted.sampler = "p-less"
    wanted.stops.maxTokens = 60
    try wanted.set(["sampler.temperature=1"])
    let result = try await session.run(wanted)
    let json = try result.json()
    #expect(result.sampler == "p-less" && json.contains("\"sampler\" : \"p-less\""))

    wanted.samplerOptions = ["warmth": "1"]
    await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    wanted.sampler = nil
    let idle = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(idle?.message.contains("sampler.warmth") == true)
    wanted.samplerOptions = [:]
    wanted.sampler = "nobody"
    let unknown = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(unknown?.code == .notFound && engine.pagesInUse == 0)
  }

  @Test("p-less leaves what is likelier than that two draws agree")
  func pLessKeeps() throws {
    let engine = try Engine(backend: SimulatedBackend(world: world, contextLength: 512))
    let run = try engine.makeRun(prompt: [0, 1, 2], seed: 2)
    run.processor = try PluginSampler("p-less", options: ["temperature": "1"], plugins: shipped)
    let branch = try run.root.fork(1)
    try run.advanceBlocking(branch, Advance(maxTokens: 60))
    let tokens = branch[0].tokens
    #expect(tokens.count == 60 && Set(tokens).count > 10)
    for place in tokens.indices {
      let row = world.logits(after: [0, 1, 2] + tokens[..<place]).map { exp(Double($0)) }
      let sum = row.reduce(0, +)
      let agree = row.reduce(0) { $0 + ($1 / sum) * ($1 / sum) }
      #expect(row[Int(tokens[place])] / sum > agree * 0.999)
    }
  }

  @Test(
    "what one does wrong ends its run with its name",
    arguments: [
      ("sampler_nan", "left NaN"), ("sampler_forbids", "left NaN"), ("sampler_fails", "process"),
      ("sampler_slow", "of processor time"),
    ])
  func wrong(name: String, ending: String) async throws {
    let plugin = try FixturePlugin(name, manifest: FixturePlugin.samplerManifest)
    let (session, engine) = try makeSession(world, plugins: plugin.host)
    var wanted = try request("abc", "sample", maxTokens: 5)
    wanted.sampler = plugin.id
    let error = await #expect(throws: ScalingError.self) { try await session.run(wanted) }
    #expect(error?.message.contains("'\(plugin.id)'") == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(ending) == true, "\(error?.message ?? "")")
    #expect(engine.pagesInUse == 0)
  }
}

extension FixturePlugin {
  static func samplerManifest(_ id: String) -> String {
    manifest(id).replacing("\"strategy\"", with: "\"sampler\"")
  }
}
