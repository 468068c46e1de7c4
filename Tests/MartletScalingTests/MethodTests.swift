import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// Sums with a wrong and a right way to work them out; the likeliest is wrong, and longer ones are more often
/// right. One word is one step; `#N` is the answer.
let sums: ScriptedWorld = {
  // swift-format-ignore: NeverUseForceTry
  try! ScriptedWorld(
    script: """
      prompt "calc 3+4*2?"
      start: " 3+4=7" 0.45 -> half, " 4*2=8" 0.4 -> product, " guess" 0.15 -> lucky
      half: " 7*2=14" 0.8 -> wrong14, " 7*2=12" 0.2 -> wrong12
      product: " 3+8=11" 0.9 -> right, " 3+8=12" 0.1 -> wrong12
      lucky: " hm" 0.7 -> lucky2, " #11" 0.3 -> good
      lucky2: " #11" 0.4 -> good, " #14" 0.6 -> bad
      right: " #11" 1 -> good
      wrong14: " #14" 1 -> bad
      wrong12: " #12" 1 -> bad
      good: reward 1
      bad: reward 0
      """)
}()

/// Gives a text the chance that the script leads it to a right answer: an ideal process reward.
func reward(_ text: String) -> Double {
  if text.contains("#11") { return 1 }
  if text.contains("#") { return 0 }
  if text.contains("3+8=11") { return 1 }
  if text.contains("4*2=8") { return text.contains("=12") ? 0 : 0.9 }
  if text.contains("3+4=7") { return 0 }
  if text.contains("hm") { return 0.4 }
  return text.contains("guess") ? 0.58 : 0.45
}

/// Figures under which `auto` draws two answers and then takes three more, unless the two are sure.
private let choices = """
  martlet-choices 2
  kind * 2 6 12 0 -2 1 0 4 0.6
  row - 0.5 10 12 14 0 0 best-of-n:n=5
  bin 0 0.5
  row 0 0.6 0 0 0 0 0 pilot
  row 0 0.9 9 12 14 0 0 best-of-n:n=3
  bin 1 0.5
  row 1 0.99 0 0 0 0 0 pilot
  row 1 0.99 9 12 14 0 0 best-of-n:n=3
  """

/// Two words that the script may go on with after its first one, for verifiers.
private let verdicts = ["verdict=", "yes= 7*2=14", "no= 7*2=12"]

/// Every strategy that ships, each with options under which one word is one step.
let methods: [(id: String, options: [String])] = [
  ("a-star-decoding", ["step= "]), ("adaptive-branching", ["n=8", "refine= "]),
  (
    "associated-thoughts",
    ["step= ", "simulations=8", "associate={prompt}", "note_tokens=1", "note=", "batch=2"]
  ), ("batch-prompting", ["separator=c 3+", "before=", "after="]),
  ("chain-and-program", ["n=4", "programs=4", "program={prompt}", "program_tokens=2"]),
  (
    "critique",
    ["n=4", "verify={prompt}", "rewrite={prompt}", "verify_tokens=1"] + verdicts
  ),
  (
    "forward-backward", ["n=8", "masks=2", "backward=2", "question={answer} {prompt}"]
  ),
  ("hogwild", ["workers=3", "step= ", "tokens=4", "finish= #11"]),
  (
    "inference-program",
    ["program=fork 6; repeat 8; step tokens 1; score temperature 0.2; resample; end; finish; score"]
  ),
  ("iterative-deepening", ["n=3", "first=2", "rounds=2", "trigger= hm"]),
  ("length-scheduling", ["n=8", "look=1", "batch=3", "probe= hm"]),
  ("mindstar", ["step= "]),
  (
    "pipeline",
    [
      """
      pipeline={"layers": [{"type": "generator", "of": [{"n": 3}, {"strategy": "best-of-n",
      "options": {"n": 2}}]}, {"type": "critic", "instruction": "{prompt}", "tokens": 1}, {"type":
      "ranker", "keep": 2}, {"type": "fuser", "n": 2, "instruction": "{prompt}"}, {"type": "voter"}]}
      """
    ]
  ),
  (
    "reprompting",
    [
      "n=4", "problems=calc 3+4*2?=>11|calc 3+4*2?=>14", "sweeps=2", "example={question}{recipe}",
      "ask={question}",
    ]
  ),
  (
    "sample-allocation",
    ["n=8", "configurations=temperature=0.5|temperature=2", "rates=0.1,0.3;0.4,0.1"]
  ),
  (
    "sample-scrutinize",
    [
      "n=6", "verify={prompt}", "compare={prompt}", "verify_tokens=1", "within=1", "first= guess",
      "second= 4*2=8", "choice=",
    ] + verdicts
  ), ("sleep-time", ["n=3"]),
  (
    "solve-detect-verify",
    [
      "words==", "probe=", "finish=", "verify={prompt}", "verify_tokens=2", "fast=2",
      "fast_tokens=1", "feedback={prompt}",
    ] + verdicts
  ),
  ("solve-verify", ["n=6", "verifications=2", "verify={prompt}", "verify_tokens=1"] + verdicts),
  (
    "spawn-join",
    ["spawn= 4*2", "spawn_end==11", "separator=+", "task= #11", "results=", "join="]
  ),
  ("adaptive-consistency", ["n=16"]), ("answer-convergence", ["every=1", "probe= hm"]),
  ("auto", ["choices=\(choices)"]),
  ("beam-search", ["step= ", "width=2", "expand=4"]), ("best-of-n", ["n=8"]),
  ("best-of-n-c", ["n=8"]), ("budget-forcing", ["min_tokens=2", "max_tokens=8", "wait= hm"]),
  ("compute-optimal", ["pilot=4", "hardest=best-of-n:n=8"]),
  ("confidence-selection", ["n=8", "group=2"]), ("diverse-tree-search", ["step= ", "groups=2"]),
  ("diversified-prompts", ["n=8", "prompts={prompt}|{prompt}"]),
  ("early-rejection", ["step= ", "tau=1", "width=3", "expand=3", "keep=0.4"]),
  ("early-stopping-consistency", ["n=16"]),
  ("entropic-particle-filter", ["n=8", "step= ", "temperature=0.2"]), ("first-finish", ["n=8"]),
  ("first-step-filtering", ["n=8", "keep=2", "first_tokens=1"]),
  ("fractured-sampling", ["n=2", "depths=3"]), ("hint-marginalization", ["n=8", "hint={prompt}"]),
  ("inverse-entropy-voting", ["refine={prompt}"]),
  ("iterative-agent-decoding", ["n=4", "feedback={prompt}"]), ("model-switch", ["k=8"]),
  ("momentum-uncertainty", ["step= "]),
  ("monte-carlo-tree-search", ["step= ", "simulations=16"]), ("nowait", ["n=4", "words=hm"]),
  ("particle-filter", ["n=8", "step= ", "temperature=0.2"]),
  ("particle-gibbs", ["n=4", "sweeps=2", "step= ", "temperature=0.2"]),
  ("perplexity-consistency", ["n=8"]),
  ("phi-decoding", ["step= ", "width=2", "expand=2", "foresight=2"]),
  ("repeated-sampling", ["cap=16"]), ("saturation-stopping", ["n=16", "gain=0.12"]),
  ("self-consistency", ["n=8"]),
  ("self-evaluated-sampling", ["n=4", "probe= hm", "yes= #11", "no= #14", "look=2"]),
  ("self-evaluation-beam", ["step= ", "width=2", "expand=4", "temperature=2"]),
  ("self-refine", ["critique={prompt}", "rewrite={prompt}"]),
  ("semantic-entropy", ["refine={prompt}"]), ("short-m-at-k", ["k=8", "m=3"]),
  ("synthesis", ["n=4", "instruction={prompt}"]),
  ("twisted-smc", ["n=8", "step_tokens=1", "temperature=0.2"]), ("weighted-voting", ["n=8"]),
]

func makeJudged(
  plugins: PluginHost = shipped
) throws -> (session: ScalingSession, engine: Engine) {
  let engine = try Engine(backend: SimulatedBackend(world: sums, contextLength: 256))
  let session = ScalingSession(engine: engine, plugins: plugins, model: "simulation")
  return (session, engine)
}

func runMethod(
  _ id: String, _ options: [String], seed: UInt64, session: ScalingSession,
  budget: Budget = Budget()
) async throws -> RunResult {
  var request = try request(sums.prompt, id, options, seed: seed, maxTokens: 12, budget: budget)
  request.extractor = "final-answer"
  request.judge = { reward($0.text) }
  return try await session.run(request)
}

@Suite("The methods that ship")
struct MethodTests {
  @Test("there is a case for each of them")
  func allAreHere() {
    let built = Set(BuiltInStrategy.allCases.map(\.rawValue))
    let ids = shipped.components.filter { $0.manifest.kind == .strategy }.map(\.manifest.id)
    #expect(Set(methods.map(\.id)) == Set(ids).subtracting(built))
    #expect(ids.count >= 40)
  }

  @Test("each names an answer, twice the same, and gives all pages back", arguments: methods)
  func answers(id: String, options: [String]) async throws {
    let (session, engine) = try makeJudged()
    for seed in UInt64(1)...3 {
      let first = try await runMethod(id, options, seed: seed, session: session)
      let second = try await runMethod(id, options, seed: seed, session: session)
      #expect(first.withoutTiming == second.withoutTiming, "seed \(seed)")
      #expect(
        [.finished, .length, .abstained].contains(first.stoppedBecause),
        "\(first.stoppedBecause): \(first.failure ?? "")")
      #expect(first.stoppedBecause == .abstained || !first.text.isEmpty)
    }
    #expect(engine.pagesInUse == 0)
  }

  @Test("each keeps a budget of any size, and answers within it", arguments: methods)
  func budgets(id: String, options: [String]) async throws {
    let (session, engine) = try makeJudged()
    for tokens in [1, 2, 3, 5, 9, 17] {
      let result = try await runMethod(
        id, options, seed: 2, session: session, budget: Budget(tokens: tokens))
      #expect(result.usage.generatedTokens <= tokens)
      #expect(result.stoppedBecause != .pluginFailed, "\(tokens): \(result.failure ?? "")")
    }
    for tokens in [2, 4, 11, 40] {
      let result = try await runMethod(
        id, options, seed: 2, session: session, budget: Budget(totalTokens: tokens))
      #expect(result.usage.totalTokens <= tokens)
      #expect(result.stoppedBecause != .pluginFailed, "\(tokens): \(result.failure ?? "")")
    }
    #expect(engine.pagesInUse == 0)
  }

  /// Those that a perfect judge of partial answers leads to the right one far more often than chance.
  private static let searches = [
    "a-star-decoding", "beam-search", "best-of-n", "diverse-tree-search", "early-rejection",
    "entropic-particle-filter", "first-step-filtering", "monte-carlo-tree-search",
    "particle-filter", "particle-gibbs", "repeated-sampling", "adaptive-branching",
    "self-evaluation-beam", "iterative-agent-decoding", "momentum-uncertainty", "twisted-smc",
    "inference-program", "mindstar", "associated-thoughts", "sample-allocation",
  ]

  @Test("with a perfect judge a search finds what one try in two misses", arguments: searches)
  func search(id: String) async throws {
    let (session, _) = try makeJudged()
    let options = methods.first { $0.id == id }!.options
    var right = 0
    for seed in UInt64(1)...20 {
      let result = try await runMethod(id, options, seed: seed, session: session)
      if result.text.contains("#11") { right += 1 }
    }
    // One try is right 0.45 of the time: 14 of 20 has a chance of one in fifty.
    #expect(right >= (id == "momentum-uncertainty" ? 8 : 16), "\(right) of 20")
  }

  @Test("no two of them do the same", arguments: [UInt64(5)])
  func theyDiffer(seed: UInt64) async throws {
    let (session, _) = try makeJudged()
    var seen: [String: String] = [:]
    for (id, options) in methods where !["best-of-n-c"].contains(id) {
      var marks: [String] = []
      for seed in seed..<seed + 6 {
        let result = try await runMethod(id, options, seed: seed, session: session)
        let texts = result.candidates.map { "\($0.text)|\($0.score ?? -1)" }
        marks.append("\(result.text)|\(result.usage.generatedTokens)|\(texts)")
      }
      let mark = marks.joined(separator: "\n")
      if let other = seen[mark] { Issue.record("\(id) did what \(other) did") }
      seen[mark] = id
    }
  }
}
