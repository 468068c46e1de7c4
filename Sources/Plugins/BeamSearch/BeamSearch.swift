import MartletPlugin

/// Beam search over steps: every beam is continued several ways by one step, a scorer judges what there is, and
/// the best stay.
///
/// Paper: Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters (Snell
/// et al., 2024).
struct BeamSearch: Strategy {
  static let id = "beam-search"

  private let beams: StepBeams

  init(_ run: RunContext) throws { beams = try StepBeams(run) }

  func run(_ run: RunContext) throws { try beams.search(run, from: run.root()) }
}
