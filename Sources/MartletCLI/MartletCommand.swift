import ArgumentParser
import Foundation
import Logging
import Martlet

/// The tool `martlet`.
@main
struct MartletCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "martlet",
    abstract: "Spends inference-time compute on language models running on CPUs.",
    discussion: """
      One prompt becomes many branches that decode together; a strategy plugin decides which to \
      extend, score, drop and answer from, inside a budget that is enforced.

      Exit codes: 0 success; 64 the command line is wrong; 65 a model or plugin is invalid; \
      66 a named file cannot be read; 69 something needed is not available; 70 an internal \
      fault; 73 output cannot be written; 130 interrupted. `check` commands exit 1 when a check \
      fails.
      """,
    version: martletVersion,
    subcommands: [
      RunCommand.self, ReplayCommand.self, DemoCommand.self, EvalCommand.self, SearchCommand.self,
      ModelCommand.self, PluginCommand.self, KernelsCommand.self,
      CheckCommand.self, BenchCommand.self, TopologyCommand.self, CacheCommand.self,
    ])

  static func main() async {
    StandardStreams.prepare()
    LoggingSystem.bootstrap { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = logLevel
      return handler
    }
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      try StandardOutput.check()
    } catch let error where isParserError(error) {
      end(byParser: error)
    } catch {
      end(CommandError(describing: error))
    }
  }

  private static func end(_ failure: CommandError) -> Never {
    StandardError.write("martlet: \(failure.description)\n")
    Foundation.exit(failure.code.rawValue)
  }

  /// Shows help, a version or what is wrong with the arguments, as ArgumentParser would.
  private static func end(byParser error: any Error) -> Never {
    let code = exitCode(for: error)
    let message = fullMessage(for: error)
    if !message.isEmpty {
      if code.isSuccess { print(message) } else { StandardError.write(message + "\n") }
    }
    do throws(CommandError) {
      try StandardOutput.check()
    } catch {
      end(error)
    }
    Foundation.exit(code.rawValue)
  }

  /// `MARTLET_LOG` sets what is logged to standard error: debug, info, notice, warning, error.
  private static var logLevel: Logger.Level {
    ProcessInfo.processInfo.environment["MARTLET_LOG"].flatMap { Logger.Level(rawValue: $0) }
      ?? .warning
  }

  /// What ArgumentParser itself raises: bad arguments, requests for help, exit codes.
  private static func isParserError(_ error: any Error) -> Bool {
    error is ExitCode || error is ValidationError || error is CleanExit
      || String(reflecting: type(of: error)).hasPrefix("ArgumentParser.")
  }
}
