import ArgumentParser
import Foundation
import Martlet

/// `martlet model …`.
struct ModelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model", abstract: "Looks into model files, and measures them on this machine.",
    subcommands: [
      ModelInfoCommand.self, ModelCostCommand.self, TokenizeCommand.self, LogitsCommand.self,
    ])
}
