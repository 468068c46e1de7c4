import ArgumentParser
import Foundation
import Martlet
import MartletScaling

/// A new plugin: what it is called, and the files it begins with.
struct PluginTemplate {
  enum Language: String, CaseIterable, ExpressibleByArgument {
    case swift, c

    var title: String { self == .swift ? "Swift" : "C" }
  }

  struct File {
    let path: String
    let text: String
  }

  /// `majority-vote`: of the folder.
  let name: String
  /// `org.example.majority-vote`: of the component and the plugin.
  let id: String
  let language: Language
  let kind: ComponentKind
  let kit: PluginKit

  /// `MajorityVote`: what Swift and the library call it.
  var type: String { name.split(separator: "-").map(\.capitalized).joined() }
  /// `majority_vote`: what C calls it.
  var symbol: String { name.replacing("-", with: "_") }
  /// The module is named apart from every module that a plugin may import.
  var module: String { type + "Plugin" }
  var library: String { "lib\(module).so" }
  var manifest: String { "\(module)\(PluginManifest.fileSuffix)" }

  init(
    name: String, id: String?, language: Language, kind: ComponentKind, kit: PluginKit
  ) throws(CommandError) {
    // Begins with a letter in every part: each begins a part of a Swift name too.
    guard name.utf8.count <= 64, name.wholeMatch(of: /[a-z][a-z0-9]*(-[a-z0-9]+)*/) != nil else {
      throw CommandError(
        .usage,
        "'\(name)' is no name for a plugin; use lower-case letters, digits and single hyphens, a "
          + "letter first, at most 64, such as 'majority-vote'")
    }
    guard name != "martlet" else {
      throw CommandError(.usage, "'martlet' is the name of the kit's own module; choose another")
    }
    let id = id ?? "org.example.\(name)"
    guard id.utf8.count <= 128, id.wholeMatch(of: /[a-z0-9][a-z0-9.-]*/) != nil else {
      throw CommandError(
        .usage,
        "--id '\(id)': an id has lower-case letters, digits, '-' and '.', at most 128, such as "
          + "org.example.majority-vote")
    }
    self.name = name
    self.id = id
    self.language = language
    self.kind = kind
    self.kit = kit
  }

  /// Everything that is written, by path in the new folder.
  func files() throws(CommandError) -> [File] {
    var files = [
      File(path: "README.md", text: filled(PluginText.readme)),
      File(path: ".gitignore", text: language == .swift ? ".build/\n" : "build/\n"),
    ]
    switch language {
    case .swift:
      files += [
        File(path: "Package.swift", text: filled(SwiftPluginText.package)),
        File(path: "Makefile", text: filled(SwiftPluginText.makefile)),
        File(path: "Sources/\(module)/\(manifest)", text: filled(PluginText.manifest)),
        File(path: "Sources/\(module)/Entry.swift", text: filled(SwiftPluginText.entry)),
        File(path: "Sources/\(module)/\(type).swift", text: filled(SwiftPluginText.source(kind))),
        File(
          path: "Tests/\(module)Tests/\(type)Tests.swift", text: filled(SwiftPluginText.test(kind))),
      ]
    case .c:
      files += [
        File(path: "Makefile", text: filled(CPluginText.makefile)),
        File(path: manifest, text: filled(PluginText.manifest)),
        File(path: "\(symbol).c", text: filled(CPluginText.source(kind))),
        File(path: "test.c", text: filled(CPluginText.test(kind))),
        File(path: "include/martlet/plugin.h", text: try kit.header("plugin.h")),
        File(path: "include/martlet/common.h", text: try kit.header("common.h")),
      ]
    }
    return files
  }

  /// A text with its placeholders replaced.
  private func filled(_ text: String) -> String {
    let values: [(String, String)] = [
      ("{{component}}", PluginText.component(kind)),
      ("{{what}}", PluginText.what(kind)),
      ("{{try}}", PluginText.trial(kind)),
      (
        "{{runtime}}",
        language == .swift ? "\n  \"swift_runtime\": \"\(SwiftRuntime.current)\"," : ""
      ),
      ("{{language}}", language.rawValue),
      ("{{source}}", language == .swift ? "Sources/\(module)/\(type).swift" : "\(symbol).c"),
      ("{{tests}}", language == .swift ? "Tests/\(module)Tests" : "test.c"),
      ("{{kind}}", kind.rawValue), ("{{KIND}}", kind.rawValue.uppercased()),
      ("{{name}}", name), ("{{id}}", id), ("{{type}}", type), ("{{symbol}}", symbol),
      ("{{module}}", module), ("{{library}}", library), ("{{manifest}}", manifest),
      ("{{kit}}", kit.folder.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")),
      ("{{major}}", "\(kit.major)"), ("{{minor}}", "\(kit.minor)"),
    ]
    return values.reduce(text) { $0.replacing($1.0, with: $1.1) }
  }
}

/// Texts that are the same in every language.
enum PluginText {
  static let manifest = """
    {
      "schema": 1,
      "id": "{{id}}",
      "version": "0.1.0",
      "abi": { "major": {{major}}, "minor": {{minor}} },
      "library": "{{library}}",
      "language": "{{language}}",{{runtime}}
      "components": [
    {{component}}
      ],
      "license": "Apache-2.0"
    }

    """

  static func component(_ kind: ComponentKind) -> String {
    let (more, option) =
      switch kind {
      case .strategy:
        (
          "\n      \"default_scorers\": [\"mean-logprob\"],",
          """
          "name": "n", "type": "integer", "min": 1, "max": 256, "default": 4, "unit": "branches",
                    "summary": "How many answers to generate."
          """
        )
      case .scorer:
        (
          "",
          """
          "name": "penalty", "type": "number", "min": 0, "max": 10, "default": 0.01, "unit": "nats",
                    "summary": "What each token takes off the score."
          """
        )
      case .extractor:
        (
          "",
          """
          "name": "digits", "type": "integer", "min": 1, "max": 100, "default": 20, "unit": "digits",
                    "summary": "The longest number that counts."
          """
        )
      case .drafter:
        (
          "",
          """
          "name": "match", "type": "integer", "min": 1, "max": 16, "default": 2, "unit": "tokens",
                    "summary": "How many tokens must have stood there before."
          """
        )
      case .sampler:
        (
          "",
          """
          "name": "penalty", "type": "number", "min": 0, "max": 100, "default": 0.5, "unit": "nats",
                    "summary": "What a recent token loses."
          """
        )
      case .memory:
        (
          "",
          """
          "name": "capacity", "type": "integer", "min": 1, "max": 4096, "default": 64, "unit": "notes",
                    "summary": "How many notes are kept."
          """
        )
      }
    return """
          {
            "kind": "{{kind}}",
            "id": "{{id}}",
            "summary": "\(what(kind))",
            "paper": "",\(more)
            "options": [
              {
                \(option)
              }
            ]
          }
      """
  }

  /// What the method of a kind that a plugin begins with does, as its manifest says it.
  static func what(_ kind: ComponentKind) -> String {
    switch kind {
    case .strategy: "Generate n answers and keep the one that the scorer likes best."
    case .scorer: "The mean log-probability of the answer's tokens, less a penalty for each."
    case .extractor: "The last whole number in the text."
    case .drafter: "Guess what followed the last tokens where they stood before."
    case .sampler: "Make the last tokens less likely to come again."
    case .memory: "Keep the latest notes and find those whose keys begin most like the query."
    }
  }

  /// How to try a component of a kind.
  static func trial(_ kind: ComponentKind) -> String {
    switch kind {
    case .strategy: "--strategy {{id}} --set n=8"
    case .scorer: "--strategy best-of-n --scorer {{id}} --set scorer.penalty=0.1"
    case .extractor: "--strategy self-consistency --extractor {{id}}"
    case .drafter: "--strategy best-of-n --draft plugin={{id}}"
    case .sampler: "--strategy sample --sampler {{id}} --set sampler.penalty=1"
    case .memory: "--strategy associated-thoughts --memory {{id}} --set memory.capacity=8"
    }
  }

  static let readme = """
    # {{name}}

    A {{kind}} for Martlet: {{what}}

    ```sh
    make test       # builds it, runs its test and `martlet plugin check`
    make install    # into ~/.local/share/martlet/plugins, where every run finds it
    martlet run "make 46 from 3 7 25?" {{try}}
    ```

    `MARTLET=path/to/martlet make test` uses a tool that is not on the PATH; `PLUGINDIR=…` installs elsewhere.

    ## Making it yours

    1. Write the method in `{{source}}`. Keep what decides apart from what asks the host, as it is there now:
       then `{{tests}}` can try it without a model.
    2. Declare its options in `{{manifest}}`: name, type, range, default and unit. `--set` errors come from there.
       Name the paper it comes from, and set `license` and `version`, which the source states too.
    3. Choose an id of your own in place of `{{id}}`, in both files: a domain of yours, reversed, and a name.
    4. `make test` until it passes; `martlet plugin check --json` says which rule a failing case is about.

    ## Publishing it

    Ship `{{library}}` and `{{manifest}}` in one folder, which goes to a folder of the plugin search path
    (`martlet plugin list --verbose` prints it). A plugin in C works with every host of the same major version of the
    plugin interface; one in Swift only with a host built with the same Swift release, so ship it as source.

    """
}
