public import Logging

/// A scorer and an extractor used on their own: to judge texts that no run is generating.
///
/// Not for use from two threads at once while the first text is being judged.
public final class TextJudge: Sendable {
  private let judge: Judge

  /// Loads a scorer, an extractor or both.
  /// - Throws: `notFound`, `refused` or `option`.
  public init(
    plugins: PluginHost, scorer: String? = nil, scorerOptions: [String: String] = [:],
    extractor: String? = nil, extractorOptions: [String: String] = [:],
    logger: Logger = Logger(label: "martlet.judge")
  ) throws(ScalingError) {
    var scorers: [ChosenComponent] = []
    if let scorer {
      scorers = [try plugins.choose(.scorer, scorer, options: scorerOptions)]
    }
    var chosen: ChosenComponent?
    if let extractor {
      chosen = try plugins.choose(.extractor, extractor, options: extractorOptions)
    }
    judge = Judge(scorers: scorers, extractor: chosen, logger: logger)
  }

  deinit { judge.end() }

  /// The score of a text, higher is better.
  /// - Throws: `plugin` when the scorer cannot judge this prompt, or there is none.
  public func score(_ text: JudgedText) throws(ScalingError) -> Double {
    do throws(HostFailure) {
      return try judge.score(text, run: nil)
    } catch {
      throw ScalingError(.plugin, error.message)
    }
  }

  /// The final answer in a text; nil when it holds none, or there is no extractor.
  /// - Throws: `plugin` when the extractor fails.
  public func extract(_ text: JudgedText) throws(ScalingError) -> String? {
    do throws(HostFailure) {
      return try judge.extract(text, run: nil)
    } catch {
      throw ScalingError(.plugin, error.message)
    }
  }
}

extension PluginHost {
  /// Finds and loads a component and checks its options.
  func choose(
    _ kind: ComponentKind, _ id: String, options: [String: String],
    suiting: [String: String] = [:]
  ) throws(ScalingError) -> ChosenComponent {
    let component = try component(kind, id)
    return ChosenComponent(
      component: try load(component),
      options: try ResolvedOptions(component.manifest, set: options, suiting: suiting))
  }
}
