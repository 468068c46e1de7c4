import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

@Suite struct WidthCostTests {
  /// A step costs 7 + 1 per row, so 9 rows cost twice one.
  @Test func aStrategyForksUpToTheKnee() async throws {
    let plugin = try FixturePlugin("asks_width")
    let (session, engine) = try makeSession(
      makeWorld, plugins: plugin.host, cost: SimulatedCost(perForward: 7, perRow: 1))
    let recorder = TraceRecorder()
    let result = try await session.run(
      request(makeWorld.prompt, plugin.id), trace: recorder)
    #expect(result.failure == nil)
    #expect(result.candidates.count == 9)
    #expect(engine.pagesInUse == 0)
    // A decision by cost can be followed in the trace.
    let trace = String(decoding: try recorder.json(), as: UTF8.self)
    #expect(trace.contains("knee_width") && trace.contains("width_cost"))
  }
}
