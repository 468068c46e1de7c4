import Foundation

/// One line of `martlet plugin list`: a component that can be used.
public struct PluginListing: Sendable, Equatable, Encodable {
  /// The component's id.
  public let id: String
  /// `strategy`, `scorer` or `extractor`.
  public let kind: String
  /// The version of its plugin.
  public let version: String
  /// The library it comes from, or `built-in`.
  public let path: String
  /// The paper that describes it; empty when there is none.
  public let paper: String
  /// One sentence on what it does.
  public let summary: String
}

extension PluginHost {
  /// Every component that can be used, by kind, then id.
  public var listing: [PluginListing] {
    components.map {
      PluginListing(
        id: $0.manifest.id, kind: $0.manifest.kind.rawValue, version: $0.version, path: $0.path,
        paper: $0.manifest.paper, summary: $0.manifest.summary)
    }
  }

  /// ``listing`` as the JSON array that `martlet plugin list --json` prints.
  public func listingJSON() throws(ScalingError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    do {
      return String(decoding: try encoder.encode(listing), as: UTF8.self) + "\n"
    } catch {
      throw ScalingError(.argument, "the list cannot be written as JSON: \(error)")
    }
  }
}
