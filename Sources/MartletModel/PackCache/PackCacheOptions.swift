import Foundation
import MartletMachine

/// Where packed weights are kept between starts, and how many.
public struct PackCacheOptions: Sendable, Equatable {
  /// A place.
  public enum Location: Sendable, Equatable {
    /// Nothing is read or written.
    case off
    /// `$XDG_CACHE_HOME/martlet`, else `~/.cache/martlet`.
    case standard
    /// In the folder of the model file.
    case beside
    /// A folder of the user's choice; made when it does not exist.
    case folder(String)
  }

  /// Where.
  public var location: Location
  /// The most bytes that all packed models of one folder may take; the least recently used go first.
  public var byteLimit = 64 << 30
  /// Models whose packed weights are smaller are packed afresh each time: that takes no longer than
  /// looking. Bytes.
  public var smallestModel = 16 << 20

  public init(_ location: Location) { self.location = location }

  /// No cache.
  public static let off = PackCacheOptions(.off)
  /// The user's cache folder.
  public static let standard = PackCacheOptions(.standard)

  /// `off`, `beside`, or a folder's path.
  public init(parsing text: String) {
    switch text {
    case "off": self.init(.off)
    case "beside": self.init(.beside)
    default: self.init(.folder(text))
    }
  }

  /// The folder for a model, nil where there is none.
  public func folder(forModel path: String) -> String? {
    switch location {
    case .off: nil
    case .standard: CacheFolder.standard()
    case .beside: URL(fileURLWithPath: path).deletingLastPathComponent().path
    case .folder(let folder): URL(fileURLWithPath: folder).path
    }
  }
}
