/// The strategies that need no plugin: one branch, from beginning to end.
public enum BuiltInStrategy: String, Sendable, CaseIterable {
  /// Always the most likely token.
  case greedy
  /// One draw with the run's sampling options.
  case sample

  /// The version that lists show for them.
  static let version = "0.1.0"

  var manifest: ComponentManifest {
    let summary =
      switch self {
      case .greedy: "One answer, always the most likely token."
      case .sample: "One answer, drawn with the sampling options."
      }
    return ComponentManifest(
      kind: .strategy, id: rawValue, summary: summary, paper: "", claims: [], options: [],
      defaultScorers: [],
      defaultExtractor: nil)
  }
}
