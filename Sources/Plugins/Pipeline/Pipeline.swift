import MartletPlugin

/// A pipeline of layers: generators, rankers, critics, fusers, verifiers and a vote, stacked as a description says.
///
/// `pipeline` is JSON (``PipelineDescription`` has its fields); it is read and checked before the run begins, and what is
/// wrong in it is named with its layer and field. Answers go from layer to layer; after each the best so far is the answer,
/// the one with the highest score, else the first. A generator may be another strategy, which runs inside this one on what
/// is left of the budget or on `tokens` of it.
///
/// Paper: Archon: An Architecture Search Framework for Inference-Time Techniques (Saad-Falcon et al., 2024). Its unit tests
/// are a verifier's prompt here; its search over architectures is `martlet search`.
struct Pipeline: Strategy {
  static let id = "pipeline"

  private let layers: [PipelineLayer]

  init(_ run: RunContext) throws {
    layers = try PipelineDescription(run.component.text("pipeline")).layers
  }

  func run(_ run: RunContext) throws {
    var stack = PipelineStack(run)
    var done = 0
    try run.untilRunEnds { () throws(PluginError) in
      for (index, layer) in layers.enumerated() {
        do throws(PluginError) {
          try stack.apply(layer)
        } catch  where !error.endsRun {
          throw PluginError(
            error.code, "layer \(index + 1) (\(layer.kind)): \(error.message)")
        }
        done += 1
      }
    }
    try run.component.trace("layers", ["done": .integer(done), "of": .integer(layers.count)])
  }
}
