import ArgumentParser
import Foundation
import Martlet
import MartletScaling

/// `martlet plugin new`.
struct PluginNewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Makes a folder with a plugin that builds, is tested and passes the check.",
    discussion: """
      The folder holds the source of a small working method of that kind, its manifest, a test, a \
      Makefile (`make`, `make test`, `make install`) and a README that says what to change. In C it \
      brings the headers along; in Swift it depends on the author kit of this installation.
      """)

  @Argument(
    help: "What it is called: lower-case letters, digits and hyphens, such as 'majority-vote'.")
  var name: String

  @Option(help: "swift or c.")
  var language: PluginTemplate.Language

  @Option(help: "\(ComponentKind.allCases.map(\.rawValue).joined(separator: ", ")).")
  var kind: ComponentKind = .strategy

  @Option(
    help: """
      The component's id, by which runs name it; a reversed domain of yours and the name. Default: \
      org.example.NAME.
      """)
  var id: String?

  @Option(help: "The folder to make it in. Default: the current one.", transform: path)
  var directory = "."

  @Option(
    help: """
      The plugin author kit: a checkout of Martlet, or lib/martlet/plugin-kit of an installation. \
      Default: that of this tool.
      """, transform: path)
  var kit: String?

  func run() throws {
    let template = try PluginTemplate(
      name: name, id: id, language: language, kind: kind, kit: PluginKit(kit))
    let target = URL(fileURLWithPath: directory).appendingPathComponent(name)
    try write(template.files(), to: target)
    let folder = directory == "." ? name : target.path
    print(
      """
      made \(folder): a \(kind.rawValue) in \(language.title), '\(template.id)'

        cd \(folder)
        make test       # builds it, runs its test and `martlet plugin check`
        make install    # into ~/.local/share/martlet/plugins, where every run finds it

      README.md there says what to change first.
      """)
  }

  /// All files or none: they are written aside and take their name at the end.
  private func write(_ files: [PluginTemplate.File], to target: URL) throws {
    let manager = FileManager.default
    // Of a link that leads nowhere too, which fileExists would follow.
    if (try? manager.attributesOfItem(atPath: target.path)) != nil {
      throw CommandError(
        .usage, "\(target.path) is there already; choose another name, or --directory")
    }
    let parent = target.deletingLastPathComponent()
    var isFolder: ObjCBool = false
    guard manager.fileExists(atPath: parent.path, isDirectory: &isFolder), isFolder.boolValue else {
      throw CommandError(.input, "--directory \(parent.path): there is no such folder")
    }
    let aside = parent.appendingPathComponent(".\(name).\(UUID().uuidString)")
    do {
      for file in files {
        let place = aside.appendingPathComponent(file.path)
        try manager.createDirectory(
          at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(file.text.utf8).write(to: place)
      }
      // Refuses to replace a folder that came to be meanwhile.
      try manager.moveItem(at: aside, to: target)
    } catch {
      try? manager.removeItem(at: aside)
      throw CommandError(
        .output, "\(target.path) cannot be written: \(error.localizedDescription)")
    }
  }
}

extension ComponentKind: ExpressibleByArgument {}
