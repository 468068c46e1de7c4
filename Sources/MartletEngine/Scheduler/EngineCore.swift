import Foundation
import MartletModel

final class EngineCore: @unchecked Sendable {
  let backend: any Backend
  let codec: any TokenCodec
  init(backend: any Backend, configuration: EngineConfiguration) throws(EngineError) {
    self.backend = backend
    codec = backend.tokenizer
  }
  func start() {}
  func shutdown() {}
  func statistics() -> EngineStatistics { fatalError() }
  func makeRoot(_ run: RunState, prompt: [Token]) -> Branch { fatalError() }
  func gate(of run: RunState) -> (any TokenGate)? { nil }
  func setGate(_ gate: (any TokenGate)?, of run: RunState) {}
  func statistics(of run: RunState) -> RunStatistics { .init() }
  func cancel(_ run: RunState) {}
  func isCancelled(_ run: RunState) -> Bool { false }
  func resample(
    _ run: RunState, population: [BranchState], ancestors: [Int]
  ) throws(EngineError) -> [Branch] { [] }
  func submit(
    _ run: RunState, _ states: [BranchState], _ advance: Advance, events: Bool,
    onToken: (@Sendable (TokenEvent) -> Void)? = nil
  ) throws(EngineError) {}
  func waitAny(
    _ run: RunState, _ done: @escaping @Sendable (Result<BranchEvent?, EngineError>) -> Void
  ) {}
  func waitAll(
    _ run: RunState, _ states: [BranchState],
    _ done: @escaping @Sendable (Result<Void, EngineError>) -> Void
  ) {}
  func interrupt(_ run: RunState, _ states: [BranchState]) {}
  func view<R>(_ state: BranchState, _ body: (BranchView) -> R) -> R { body(BranchView()) }
  func kvPages(_ state: BranchState) -> Int { 0 }
  func fork(_ state: BranchState, count: Int) throws(EngineError) -> [Branch] { [] }
  func forkCost(_ state: BranchState, count: Int) -> Int { 0 }
  func truncate(_ state: BranchState, toGenerated: Int) throws(EngineError) {}
  func append(_ state: BranchState, tokens: [Token]) throws(EngineError) {}
  func cancel(_ state: BranchState) {}
  func release(_ state: BranchState) {}
  func isReleased(_ state: BranchState) -> Bool { false }
  func releaseFromDeinit(_ state: BranchState) {}
}
final class RunState: @unchecked Sendable {
  let seed: UInt64
  let sampling: SamplingOptions
  let stops: StopRules
  init(
    core: EngineCore, prompt: [Token], seed: UInt64, sampling: SamplingOptions, stops: StopRules,
    recorder: (any EngineObserver)?
  ) throws(EngineError) {
    self.seed = seed
    self.sampling = sampling
    self.stops = stops
  }
}
final class BranchState: @unchecked Sendable {
  let path = BranchPath.root
  let promptCount = 0
}
struct BranchView {
  var tokens: [Token] = []
  var logprobs: [Float] = []
  var count = 0
  var lastEntropy: Float = 0
  var text = ""
  var stop = StopReason.none
}
