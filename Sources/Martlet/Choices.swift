import Foundation
import MartletModel
import MartletScaling

/// What was learned about strategies for a model on this machine, which `--strategy auto` chooses by: a file in
/// `$XDG_DATA_HOME/martlet/choices`, else in `~/.local/share/martlet/choices`.
public enum Choices {
  /// The option by which strategies get them.
  static let optionName = "choices"

  /// The file for a model.
  public static func path(for model: TransformerModel) -> String {
    let environment = ProcessInfo.processInfo.environment
    let data = environment["XDG_DATA_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
    let folder = data ?? FileManager.default.homeDirectoryForCurrentUser.path + "/.local/share"
    return "\(folder)/martlet/choices/\(model.fingerprint).txt"
  }

  /// What was learned on this machine, else what comes with Martlet for its own model; nil for neither.
  static func text(for model: TransformerModel) -> String? {
    let own = path(for: model)
    for path in [own, model.path.replacingSuffix(".gguf", with: ".choices")] {
      if let data = FileManager.default.contents(atPath: path) {
        return String(decoding: data, as: UTF8.self)
      }
    }
    return nil
  }

  /// Keeps what was learned; the file appears whole or not at all.
  /// - Throws: `file` naming the path.
  public static func save(_ text: String, for model: TransformerModel) throws {
    let path = path(for: model)
    do {
      try FileManager.default.createDirectory(
        atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    } catch {
      throw ScalingError(.file, "\(path): its folder cannot be made: \(error)")
    }
    try OutputFile.save(Data(text.utf8), to: path)
  }
}

extension String {
  fileprivate func replacingSuffix(_ suffix: String, with other: String) -> String {
    hasSuffix(suffix) ? dropLast(suffix.count) + other : self + other
  }
}
