import Foundation
import MartletEngine
import MartletLab
import MartletScaling
import Synchronization
import Testing

@Suite struct RunnerTests {
  private func plan(_ strategies: String = "greedy,self-consistency:n=4,best-of-n:n=2") throws
    -> EvalPlan
  {
    var plan = EvalPlan(
      suite: sumSuite(10), strategies: try StrategySpec.list(parsing: strategies),
      budgets: try BudgetSpec.list(parsing: "none,tokens=5"), seeds: 2)
    plan.sampling.temperature = 1
    return plan
  }

  private func records(_ plan: EvalPlan, jobs: Int) async throws -> [RunRecord] {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/records.jsonl"
    let runner = try EvalRunner(
      session: makeSession(sumWorld), plan: plan, file: RecordFile(path: path), jobs: jobs)
    #expect(try await runner.run() == plan.jobs.count)
    return try RecordFile.read(path).records
  }

  @Test func recordsDoNotDependOnWhatRunsBeside() async throws {
    let plan = try plan()
    func sorted(_ records: [RunRecord]) -> [RunRecord] {
      records.map(\.withoutTiming).sorted { "\($0.key)" < "\($1.key)" }
    }
    let alone = sorted(try await records(plan, jobs: 1))
    #expect(alone == sorted(try await records(plan, jobs: 8)))
    #expect(alone.count == 10 * 3 * 2 * 2)
    // Problems and seeds draw different numbers.
    let voted = alone.filter { $0.strategy == "self-consistency:n=4" && $0.budget == "none" }
    #expect(Set(voted.map { $0.candidates.map(\.text) }).count > 2)
  }

  @Test func recordsSayWhatHappened() async throws {
    for record in try await records(plan(), jobs: 4) {
      #expect(record.correct == (record.answerCandidate != nil && record.text == " so #4"))
      #expect(record.candidates.allSatisfy { $0.correct == ($0.text == " so #4") })
      if let last = record.anytime.last { #expect(last.correct == record.correct) }
      if record.budget == "tokens=5" { #expect(record.usage.generatedTokens <= 5) }
      if record.strategy == "best-of-n:n=2", record.budget == "none" {
        #expect(record.candidates.count == 2)
        #expect(record.options == ["n": "2"])
      }
      #expect(record.usage.generatedTokens > 0 && record.timing.seconds > 0)
    }
  }

  @Test func anEvaluationGoesOnWhereItWasCutOff() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/records.jsonl"
    let session = try makeSession(sumWorld)
    let all = try plan()
    var part = all
    part.suite = sumSuite(4)
    try await EvalRunner(session: session, plan: part, file: RecordFile(path: path), jobs: 3).run()
    let first = try RecordFile.read(path).records

    // A crash in the middle of a line.
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    try data.dropLast(40).write(to: URL(fileURLWithPath: path))
    let file = try RecordFile(path: path)
    #expect(file.warning?.contains(":\(first.count): a record was cut off") == true)
    #expect(file.records == first.dropLast())

    let made = try await EvalRunner(session: session, plan: all, file: file, jobs: 3).run()
    #expect(made == all.jobs.count - first.count + 1)
    let records = try RecordFile.read(path).records
    #expect(Set(records.map(\.key)) == Set(all.jobs.map(\.key)))
    #expect(records.count == all.jobs.count)
    #expect(Array(records.prefix(first.count - 1)) == Array(first.dropLast()))
  }

  @Test func aFileIsWrittenByOneEvaluationAtATime() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/records.jsonl"
    let file = try RecordFile(path: path)
    let error = #expect(throws: LabError.self) { try RecordFile(path: path) }
    #expect(error?.code == .output)
    #expect(file.records.isEmpty)
  }

  @Test func damageInTheMiddleIsNamed() throws {
    let folder = try TemporaryFolder()
    let line = String(
      decoding: try sampleRecord(problem: "a", strategy: "greedy").line(), as: UTF8.self)
    let path = try folder.write("\(line)\nnonsense\n\(line)\n", to: "records.jsonl")
    let error = #expect(throws: LabError.self) { try RecordFile(path: path) }
    #expect(error?.message.contains("records.jsonl:2") == true)
  }

  @Test func otherProblemsUnderTheSameNamesAreRefused() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/records.jsonl"
    let session = try makeSession(sumWorld)
    try await EvalRunner(
      session: session, plan: plan("greedy"), file: RecordFile(path: path), jobs: 1
    ).run()
    var other = try plan("greedy")
    other.suite = Suite(
      name: "sums",
      problems: [
        Problem(
          id: "sum-1", question: "3+3=", group: "", expected: "6", check: TextCheck(expected: "6"))
      ])
    let file = try RecordFile(path: path)
    let error = #expect(throws: LabError.self) {
      try EvalRunner(session: session, plan: other, file: file, jobs: 1)
    }
    #expect(error?.message.contains("'sum-1' asks something else") == true)
  }

  @Test(arguments: [
    ("none", "there is no strategy 'none'"), ("best-of-n:m=2", "has no option 'm'"),
    ("best-of-n:n=0", "option 'n'"), ("best-of-n:scorer=gone", "there is no scorer 'gone'"),
  ])
  func everythingIsCheckedBeforeTheFirstRun(spec: String, message: String) throws {
    let plan = try plan("greedy,\(spec)")
    let error = #expect(throws: ScalingError.self) { try plan.validate(in: makeSession(sumWorld)) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("strategy '\(spec)'") == true)
  }

  @Test func specsAreRead() throws {
    let specs = try StrategySpec.list(parsing: "a,b:n=8:stop=\\,\\:\\\\:scorer=s:scorer.x=y=z")
    #expect(specs.map(\.id) == ["a", "b"])
    #expect(specs[1].options == ["n": "8", "stop": ",:\\", "scorer": "s", "scorer.x": "y=z"])
    #expect(try StrategySpec.list(parsing: specs[1].label) == [specs[1]])
    let request = try specs[1].request("q")
    #expect(request.scorer == "s" && request.scorerOptions == ["x": "y=z"])
    #expect(request.options == ["n": "8", "stop": ",:\\"])
    for bad in ["", "a,,b", "a:n", "a:n=1:n=2", "a:n=1,a:n=1"] {
      #expect(throws: LabError.self) { try StrategySpec.list(parsing: bad) }
    }
  }

  @Test func budgetsAreRead() throws {
    let budgets = try BudgetSpec.list(parsing: "tokens=9,tokens=20+seconds=1.5,none")
    #expect(budgets.map(\.label) == ["tokens=9", "tokens=20+seconds=1.5", "none"])
    #expect(budgets[1].budget == Budget(tokens: 20, seconds: 1.5))
    for bad in ["", "tokens=0", "tokens=9,tokens=9", "pages=3"] {
      #expect(throws: (any Error).self) { try BudgetSpec.list(parsing: bad) }
    }
  }

  @Test func aFolderKeepsItsSettings() throws {
    let folder = try TemporaryFolder()
    let settings = EvalSettings(try plan(), model: "one")
    try settings.claim(folder: "\(folder.path)/new/out")
    try settings.claim(folder: "\(folder.path)/new/out")
    let error = #expect(throws: LabError.self) {
      try EvalSettings(plan(), model: "two").claim(folder: "\(folder.path)/new/out")
    }
    #expect(error?.message.contains("model 'one', not 'two'") == true)
  }

  @Test func cancellingKeepsWhatIsDone() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/records.jsonl"
    let plan = try plan()
    let runner = try EvalRunner(
      session: makeSession(sumWorld), plan: plan, file: RecordFile(path: path), jobs: 1)
    let stopping = Mutex<Task<Int, any Error>?>(nil)
    let task = Task {
      while stopping.withLock({ $0 == nil }) { await Task.yield() }
      return try await runner.run { progress in
        if progress.made == 5 { stopping.withLock { $0?.cancel() } }
      }
    }
    stopping.withLock { $0 = task }
    #expect(try await task.value < plan.jobs.count)
    let records = try RecordFile.read(path).records
    #expect(records.count >= 5 && records.count < plan.jobs.count)
    #expect(records.allSatisfy { $0.stoppedBecause != "cancelled" })
  }
}
