import Foundation
import MartletScaling

/// `eval.json`: what all records of a folder have in common.
public struct EvalSettings: Codable, Sendable, Equatable {
  public var schema = 1
  public var suite: String
  public var problemSeed: String
  public var model: String
  public var sampling: String
  public var maxTokens: Int?
  public var chat: Bool

  enum CodingKeys: String, CodingKey {
    case schema, suite, model, sampling, chat
    case problemSeed = "problem_seed"
    case maxTokens = "max_tokens"
  }

  /// Those of a plan.
  public init(_ plan: EvalPlan, model: String) {
    suite = plan.suite.name
    problemSeed = "\(plan.problemSeed)"
    self.model = model
    sampling = plan.samplingText
    maxTokens = plan.maxTokens
    chat = plan.isChat
  }

  /// Reads those of a folder.
  /// - Throws: `input` when there are none, `data` when they cannot be understood.
  public init(folder: String) throws(LabError) {
    let path = "\(folder)/eval.json"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw LabError(.input, "\(path): cannot be read; name a folder that an evaluation wrote")
    }
    do {
      self = try JSONDecoder().decode(EvalSettings.self, from: data)
    } catch {
      throw LabError(.data, "\(path): these are no settings of an evaluation; name another folder")
    }
  }

  /// Writes them to a folder, or checks that they are the folder's own.
  /// - Throws: `argument` naming what differs.
  public func claim(folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw LabError(.output, "\(folder): the folder cannot be made; name another with --out")
    }
    let path = "\(folder)/eval.json"
    if FileManager.default.fileExists(atPath: path) {
      let old = try EvalSettings(folder: folder)
      func text(_ value: Int?) -> String { value.map(String.init) ?? "none" }
      for (name, before, now) in [
        ("suite", old.suite, suite), ("problem seed", old.problemSeed, problemSeed),
        ("model", old.model, model), ("sampling", old.sampling, sampling),
        ("max tokens", text(old.maxTokens), text(maxTokens)),
        ("chat", "\(old.chat)", "\(chat)"),
      ] where before != now {
        throw LabError(
          .argument,
          "\(folder) holds records with \(name) '\(before)', not '\(now)'; name another folder "
            + "with --out, or go on with the same settings")
      }
      return
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try OutputFile.save(encoder.encode(self) + Data("\n".utf8), to: path)
  }
}
