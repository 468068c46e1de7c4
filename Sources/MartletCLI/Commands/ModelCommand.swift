import ArgumentParser
import Foundation
import Martlet

/// `martlet model …`.
struct ModelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model", abstract: "Looks into model files.",
    subcommands: [ModelInfoCommand.self, TokenizeCommand.self, LogitsCommand.self])
}
