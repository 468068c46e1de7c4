import CMartlet
import Logging

extension PluginHost {
  /// The score that a scorer gives a text, outside of any run.
  /// - Returns: nil when the scorer cannot judge this prompt.
  /// - Throws: `notFound` or `refused` for the scorer, `option`, `plugin` when it fails.
  public func score(
    _ text: JudgedText, scorer id: String, options: [String: String] = [:]
  ) throws(ScalingError) -> Double? {
    let installed = try component(.scorer, id)
    let loaded = try load(installed)
    let resolved = try ResolvedOptions(installed.manifest, set: options)
    do throws(HostFailure) {
      let scorer = try ScorerInstance(
        loaded, options: resolved, run: nil, logger: Logger(label: "martlet.plugins"))
      defer { scorer.end() }
      return try scorer.score(text)
    } catch {
      if error.status == MARTLET_E_UNSUPPORTED { return nil }
      throw ScalingError(.plugin, error.message)
    }
  }
}
