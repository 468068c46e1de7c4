public import MartletEngine
public import MartletScaling

/// What an evaluation runs: every problem under every strategy, budget and seed.
public struct EvalPlan: Sendable {
  /// The problems.
  public var suite: Suite
  /// The seed of generated problems.
  public var problemSeed: UInt64
  /// What is compared.
  public var strategies: [StrategySpec]
  /// What each may use.
  public var budgets: [BudgetSpec]
  /// Runs of each problem, each with random numbers of its own.
  public var seeds: Int
  /// How tokens are drawn, and how that was written.
  public var sampling = SamplingOptions()
  public var samplingText = ""
  /// The most tokens of a branch; nil for no limit.
  public var maxTokens: Int?
  /// Whether questions are wrapped as a user's message.
  public var isChat = false

  /// A plan of one run per problem and strategy without a budget.
  public init(
    suite: Suite, problemSeed: UInt64 = 1, strategies: [StrategySpec],
    budgets: [BudgetSpec] = [.none], seeds: Int = 1
  ) {
    (self.suite, self.problemSeed, self.strategies) = (suite, problemSeed, strategies)
    (self.budgets, self.seeds) = (budgets, seeds)
  }

  /// One run that is to be made.
  package struct Job: Sendable {
    let problem: Problem
    let strategy: StrategySpec
    let budget: BudgetSpec
    let seed: Int

    package var key: RunRecord.Key {
      RunRecord.Key(
        problem: problem.id, strategy: strategy.label, budget: budget.label, seed: seed)
    }
  }

  /// Problems that are run under one strategy before the next one takes its turn.
  ///
  /// Runs beside one another are then alike, so that sharing the CPU time among them is fair, and an
  /// evaluation that is interrupted has compared all strategies on the same problems.
  private static let block = 64

  package var jobs: [Job] {
    var jobs: [Job] = []
    for start in stride(from: 0, to: suite.problems.count, by: Self.block) {
      let problems = suite.problems[start..<min(start + Self.block, suite.problems.count)]
      for seed in 1...max(1, seeds) {
        for budget in budgets {
          for strategy in strategies {
            jobs += problems.map {
              Job(problem: $0, strategy: strategy, budget: budget, seed: seed)
            }
          }
        }
      }
    }
    return jobs
  }

  /// The request of a job, in this plan's form.
  func request(_ job: Job, in session: ScalingSession) throws -> RunRequest {
    var request = try job.strategy.request(job.problem.question)
    request.budget = job.budget.budget
    request.seed = SplitMix64.mixed(UInt64(job.seed), job.problem.id)
    request.sampling = sampling
    request.stops.maxTokens = maxTokens
    if isChat { try request.renderAsChat(of: session.surroundings, named: session.model) }
    return request
  }

  /// Checks everything before the first run: amounts, strategies, options, judges, budgets.
  /// - Throws: `LabError` or `ScalingError` naming what cannot be used.
  public func validate(in session: ScalingSession) throws {
    guard let first = suite.problems.first else {
      throw LabError(.argument, "suite '\(suite.name)' has no problem; raise --limit")
    }
    guard !strategies.isEmpty else {
      throw LabError(.argument, "there is no strategy to evaluate; name one with --strategies")
    }
    guard seeds >= 1 else {
      throw LabError(.argument, "--seeds \(seeds) makes no run; give 1 or more")
    }
    for strategy in strategies {
      for budget in budgets {
        let job = Job(problem: first, strategy: strategy, budget: budget, seed: 1)
        do {
          try session.validate(request(job, in: session))
        } catch let error as ScalingError {
          throw ScalingError(error.code, "strategy '\(strategy.label)': \(error.message)")
        }
      }
    }
  }
}
