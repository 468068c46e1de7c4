import Foundation
import Martlet

/// Plugins that break rules, compiled from Tests/KnownBadPlugins, and one that audits the host.
struct FailingPlugins {
  /// What becomes of a run under a plugin.
  enum Fate {
    /// It ends as any run does.
    case good
    /// It fails, in words of its own or the host's.
    case fails
    /// Its library is not accepted.
    case refused
    /// It goes on after its run's end and is given up.
    case goesOn
  }

  struct Plugin {
    let name: String
    let fate: Fate
    var id: String { name.replacingOccurrences(of: "_", with: "-") }
  }

  /// Strategies that do no harm to the process they are loaded into.
  static let tame: [Plugin] =
    ["well_behaved", "ledger_watch"].map {
      Plugin(name: $0, fate: .good)
    }
    + [
      "asks_width", "fails_early", "fails_late", "nondeterministic", "stale_handle", "needs_pages",
      "asks_finished",
      "answers_after_commit", "submits_until", "changes_in_until", "keeps_asking",
      "resamples_biased", "resamples_in_order", "misuse",
    ].map { Plugin(name: $0, fate: .fails) }
    + [
      "built_for_zero", "wrong_size", "wrong_strategy_size", "wrong_major", "wrong_version",
      "null_function",
      "null_entry", "missing_symbol", "reserved_kind",
    ].map { Plugin(name: $0, fate: .refused) }
    + [Plugin(name: "over_budget", fate: .goesOn)]
  /// Strategies that end their process, never return, or try what they may not do.
  static let wild: [Plugin] =
    ["crash", "crashes_on_text", "opens_socket", "reads_file", "starts_process", "replaces_itself"]
    .map { Plugin(name: $0, fate: .fails) } + [Plugin(name: "hang", fate: .goesOn)]
  /// Samplers that spoil a row of logits or fail.
  static let samplers = ["sampler_nan", "sampler_forbids", "sampler_fails"].map {
    Plugin(name: $0, fate: .fails)
  }

  /// Where they are.
  let folder: String

  /// Compiles all of them into a folder.
  init(into folder: String) throws {
    self.folder = folder
    let own = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let tests = own.deletingLastPathComponent()
    let include = tests.deletingLastPathComponent().appendingPathComponent("include").path
    for plugin in Self.tame + Self.wild + Self.samplers {
      let known = tests.appendingPathComponent("KnownBadPlugins/\(plugin.name).c").path
      let source =
        FileManager.default.fileExists(atPath: known)
        ? known : own.appendingPathComponent("Plugins/\(plugin.name).c").path
      let kind = plugin.name.hasPrefix("sampler") ? "sampler" : "strategy"
      try Self.manifest(plugin, kind: kind).write(
        toFile: "\(folder)/\(plugin.name).martlet-plugin.json", atomically: false, encoding: .utf8)
      try Self.compile([
        "-std=gnu17", "-shared", "-fPIC", "-pthread", "-DFIXTURE_ID=\"\(plugin.id)\"", "-I",
        include,
        "-o", "\(folder)/lib\(plugin.name).so", source, "-lm",
      ])
    }
  }

  private static func manifest(_ plugin: Plugin, kind: String) -> String {
    var options = ""
    switch plugin.name {
    case "crashes_on_text":
      options =
        #", "options": [{"name": "step", "type": "text", "default": "a", "summary": "What ends one."}]"#
    case "ledger_watch":
      options = #"""
        , "options": [
          {"name": "child", "type": "text", "default": "best-of-n", "summary": "Who runs inside."},
          {"name": "part", "type": "integer", "min": 1, "max": 200, "default": 20, "summary": "Its tokens."}]
        """#
    default: break
    }
    let claims =
      plugin.name.hasPrefix("resamples") ? #", "claims": ["unbiased-resampling"]"# : ""
    return """
      {"schema": 1, "id": "\(plugin.id)", "version": "1.0.0", "abi": {"major": 1, "minor": 0}, \
      "library": "lib\(plugin.name).so", "language": "c", "license": \
      "Apache-2.0", "components": [{"kind": "\(kind)", "id": "\(plugin.id)", "summary": "A fixture."\
      \(options)\(claims)}]}
      """
  }

  private static func compile(_ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["cc"] + arguments
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure("cc \(arguments.joined(separator: " ")) failed; a C compiler is needed")
    }
  }
}

/// What went wrong, in words.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
