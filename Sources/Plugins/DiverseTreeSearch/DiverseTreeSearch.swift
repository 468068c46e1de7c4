import MartletPlugin

/// Diverse verifier tree search: the beams are divided into independent searches, so that one early favourite
/// cannot drive out all others; the best result of all is the answer.
///
/// Source: Scaling test-time compute with open models (Beeching et al., 2024).
struct DiverseTreeSearch: Strategy {
  static let id = "diverse-tree-search"

  private let beams: StepBeams

  init(_ run: RunContext) throws {
    beams = try StepBeams(run, groups: run.component.integer("groups"))
  }

  func run(_ run: RunContext) throws { try beams.search(run, from: run.root()) }
}
