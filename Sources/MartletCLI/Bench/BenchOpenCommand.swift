import ArgumentParser
import Foundation
import Martlet
import MartletBench

/// `martlet bench open`.
struct BenchOpenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "open",
    abstract: "Measures the way from a model file to its first token, and peak memory.",
    discussion: """
      Each sample is a process of its own. `pack` is all that opening does beyond mapping the file \
      and tuning. Openings that packed (pack cache: miss) and openings that mapped what was packed \
      before (hit) are rows of their own.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "Whether the file may be in the system's page cache: cold, warm.")
  var pageCache = WordList(["warm"])

  @Option(help: "Samples per row.")
  var repetitions = 3

  /// One sample in this process, as JSON.
  @Flag(help: .hidden)
  var sample = false

  @OptionGroup var options: BenchOptions

  func run() throws {
    let path = try modelPath(model.model)
    if sample {
      let taken = try options.refusing {
        try OpenBench.sampleHere(model: path) { try model.open() }
      }
      return print(String(decoding: try JSONEncoder().encode(taken), as: UTF8.self))
    }
    // Here, where a file that cannot be opened is told apart from one that is invalid.
    _ = try GGUFFile(path: path)
    // The samplers get this command's own arguments, whatever options a model has.
    var settings = OpenBench.Settings(
      model: path, sampler: [try ownProgram()] + CommandLine.arguments.dropFirst() + ["--sample"])
    settings.pageCaches = try pageCache.parse("--page-cache", OpenBench.PageCache.self)
    settings.repetitions = repetitions
    settings.version = MartletCommand.configuration.version
    settings.command = model.command("martlet bench open") + " --repetitions \(repetitions)"

    let team = try ThreadTeam(threads: model.placement.threads)
    let progress = Progress("measuring")
    let report = try options.refusing {
      try OpenBench.run(settings, team: team) { progress.update($0, note: $1) }
    }
    progress.finish()
    try options.show(report)
  }
}
