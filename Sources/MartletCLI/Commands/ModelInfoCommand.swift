import ArgumentParser
import Foundation
import Martlet

/// `martlet model info`.
struct ModelInfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Prints a model file's metadata and tensor types.")

  @Option(help: "The model file; the embedded model if not given.", transform: path)
  var model: String?

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let info = try ModelInfo(path: modelPath(model))
    if json {
      try printJSON(info)
    } else {
      print(info)
    }
  }
}
