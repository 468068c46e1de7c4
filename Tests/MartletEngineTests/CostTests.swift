import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import MartletSimulation
import Testing

@Suite struct CostTests {
  private func curve(_ points: [(Int, Double)]) throws -> CostCurve {
    try #require(
      CostCurve(
        points: points.map { CostCurve.Point(width: $0.0, seconds: $0.1) }, origin: .measured))
  }

  @Test func costsAreInterpolatedAndNeverFall() throws {
    let curve = try curve([(1, 2), (2, 1.5), (4, 3), (8, 5)])
    #expect(curve.cost(0) == 0)
    #expect(curve.cost(1) == 1)
    #expect(curve.cost(2) == 1)
    #expect(curve.cost(3) == 1.25)
    #expect(curve.cost(4) == 1.5)
    #expect(curve.cost(6) == 2)
    #expect(curve.cost(8) == 2.5)
    #expect(curve.cost(16) == 4.5)
    #expect(curve.knee() == 6)
    #expect(curve.knee(costingAtMost: 1) == 2)
    #expect(curve.knee(costingAtMost: 100, limit: 20) == 20)
  }

  @Test func impossibleCurvesAreRefused() {
    func make(_ points: [(Int, Double)]) -> CostCurve? {
      CostCurve(
        points: points.map { CostCurve.Point(width: $0.0, seconds: $0.1) }, origin: .cached)
    }
    #expect(make([]) == nil)
    #expect(make([(2, 1)]) == nil)
    #expect(make([(1, 1), (1, 2)]) == nil)
    #expect(make([(1, .nan)]) == nil)
    #expect(make([(1, -1)]) == nil)
    #expect(make([(1, 0), (2, 1)]) == nil)
    #expect(make([(1, 0), (2, 0)])?.cost(2) == 1)
  }

  @Test func aSimulationStatesItsCost() throws {
    let backend = SimulatedBackend(
      world: HashedWorld(seed: 1), cost: SimulatedCost(perForward: 7, perRow: 1))
    let engine = try Engine(backend: backend)
    #expect(engine.costCurve.origin == .stated)
    for width in 1...64 { #expect(abs(engine.widthCost(width) - Double(7 + width) / 8) < 1e-9) }
    #expect(engine.kneeWidth == 9)
    #expect(backend.statistics.forwards == 0)
  }

  @Test func aTransformerIsMeasured() throws {
    let backend = try TransformerFixture(seed: 5).backend(threads: 2)
    let engine = try Engine(backend: backend)
    let curve = engine.costCurve
    #expect(curve.origin == .measured)
    #expect(curve.points.map(\.width) == CostCurve.measuredWidths)
    #expect(curve.points.allSatisfy { $0.seconds > 0 })
    #expect((1...4096).contains(engine.kneeWidth))
    #expect(engine.pagesInUse == 0)
    #expect(engine.statistics.peakPages == 0)
    // Known from now on.
    let forwards = backend.statistics.forwards
    #expect(engine.costCurve == curve)
    #expect(backend.statistics.forwards == forwards)
    engine.remeasureCost()
    _ = engine.costCurve
    #expect(backend.statistics.forwards > forwards)
    engine.shutdown()
    engine.remeasureCost()
    #expect(engine.costCurve.origin == .assumed)
  }

  /// Few pages allow a short curve; a run that holds the rest keeps its text.
  @Test func measuringBesideARunChangesNoText() async throws {
    let fixture = try TransformerFixture(seed: 9)
    func tokens(measuring: Bool) async throws -> [[Token]] {
      let backend = try fixture.backend()
      let engine = try Engine(
        backend: backend,
        configuration: EngineConfiguration(kvBytesLimit: 24 * backend.bytesPerPage))
      let run = try engine.makeRun(
        prompt: fixture.tokens(40, seed: 2), seed: 4, sampling: SamplingOptions())
      let branches = try run.root.fork(4)
      async let curve = Task.detached { measuring ? engine.costCurve : nil }.value
      try await run.advance(branches, Advance(maxTokens: 30))
      _ = await curve
      return branches.map(\.tokens)
    }
    #expect(try await tokens(measuring: true) == tokens(measuring: false))
  }

  @Test func measurementsAreKeptAndDamagedOnesAreNot() throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-tuning-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let store = TuningStore(path: folder)
    var record = TuningRecord(identity: "a machine")
    record.curve = try curve([(1, 1), (2, 1.5)])
    record.threads = 3
    try store.keep(record)
    #expect(store.record("a machine") == record)
    #expect(store.record("another machine") == nil)

    let file = folder + "/" + (try FileManager.default.contentsOfDirectory(atPath: folder)[0])
    let text = try String(contentsOfFile: file, encoding: .utf8)
    for broken in [
      "", "{}", text.replacingOccurrences(of: "a machine", with: "b machine"),
      text.replacingOccurrences(of: "\"width\" : 2", with: "\"width\" : 1"),
    ] {
      #expect(broken != text)
      try Data(broken.utf8).write(to: URL(fileURLWithPath: file))
      chmod(file, 0o600)
      #expect(store.record("a machine") == nil, "\(broken)")
    }
    for number in 0..<80 { try store.keep(TuningRecord(identity: "\(number)")) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count <= 65)
    #expect(store.clear() > 0)
  }

  @Test func anEngineReadsWhatAnEarlierOneMeasured() throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-tuning-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let fixture = try TransformerFixture(seed: 5)
    let backend = try fixture.backend()
    var record = TuningRecord(identity: try #require(backend.costIdentity))
    record.curve = try curve([(1, 1), (2, 1.25), (4, 2.5)])
    try TuningStore(path: folder).keep(record)
    let engine = try Engine(
      backend: backend, configuration: EngineConfiguration(tuningFolder: folder))
    #expect(engine.costCurve.origin == .cached)
    #expect(engine.widthCost(3) == 1.875)
    // Other threads are another identity.
    #expect(try fixture.backend(threads: 2).costIdentity != record.identity)
  }
}

@Suite struct AutotunerTests {
  private let fixture: TransformerFixture
  private let team: ThreadTeam
  private let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("martlet-tuning-\(UUID().uuidString)").path

  init() throws {
    fixture = try TransformerFixture(seed: 3)
    team = try ThreadTeam(threads: 2)
  }

  private func tune(
    _ effort: Autotuner.Effort, given: Bool = false, store: TuningStore? = nil
  ) throws -> Tuning {
    let origin: Tuning.Origin = given ? .given : .standard
    let standard = Tuning(
      threads: 2, threadsOrigin: origin, prefillChunk: 256, prefillChunkOrigin: origin)
    let (tuning, chosen) = try Autotuner(
      parts: fixture.parts, options: TransformerBackend.Options(), store: store
    )
    .tune(standard, effort: effort, team: team) { try ThreadTeam(threads: $0) }
    #expect(chosen.width == tuning.threads)
    return tuning
  }

  @Test func whatIsGivenStays() throws {
    let tuning = try tune(.thorough, given: true)
    #expect(tuning.threads == 2 && tuning.prefillChunk == 256)
    #expect(tuning.threadsOrigin == .given && tuning.prefillChunkOrigin == .given)
  }

  @Test func withoutAPlaceNothingIsMeasured() throws {
    let tuning = try tune(.quick)
    #expect(tuning.threadsOrigin == .standard && tuning.prefillChunkOrigin == .standard)
    #expect(try tune(.none) == tuning)
  }

  @Test func measuringChoosesAmongWhatIsPossible() throws {
    let tuning = try tune(.thorough)
    #expect([1, 2].contains(tuning.threads))
    #expect([64, 128, 256, 512].contains(tuning.prefillChunk))
    #expect(tuning.prefillChunkOrigin == .measured)
    #expect(tuning.seconds > 0)
  }

  @Test func whatIsKeptIsUsed() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let store = TuningStore(path: folder)
    _ = try tune(.quick, store: store)
    // A busy machine keeps nothing; then there is nothing to read.
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    guard let file = files.first else { return }
    let path = folder + "/" + file
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let changed = text.replacing(/"threads" : \d/, with: "\"threads\" : 1")
      .replacing(/"prefillChunk" : \d+/, with: "\"prefillChunk\" : 99")
    try Data(changed.utf8).write(to: URL(fileURLWithPath: path))
    chmod(path, 0o600)
    let tuning = try tune(.none, store: store)
    #expect(tuning.threads == 1 && tuning.threadsOrigin == .cached)
    #expect(tuning.prefillChunk == 99 && tuning.prefillChunkOrigin == .cached)
    let off = try tune(.off, store: store)
    #expect(off.threads == 2 && off.threadsOrigin == .standard)
    #expect(off.prefillChunk == 256 && off.prefillChunkOrigin == .standard)
  }
}
