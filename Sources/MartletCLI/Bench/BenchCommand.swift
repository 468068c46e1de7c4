import ArgumentParser
import Martlet
import MartletBench

/// `martlet bench …`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      "Measures this machine, the kernels and models, as fractions of the machine's limits.",
    discussion: """
      Lists of values, separated by commas, run as a product. Data goes to standard output, progress \
      to standard error. JSON is one object {schema, context, rows}; rows carry raw samples, the \
      fraction of the limit measured in the same run, and a command that reproduces them.
      """,
    subcommands: [
      BenchMachineCommand.self, BenchModelCommand.self, BenchGemmCommand.self,
      BenchAttentionCommand.self, BenchRetrieveCommand.self, BenchSampleCommand.self,
      BenchVerifyCommand.self,
      BenchSpeculateCommand.self, BenchConstrainCommand.self, BenchOpenCommand.self,
      BenchContentionCommand.self, BenchContextCommand.self, BenchRecallCommand.self,
      BenchTeamCommand.self,
    ])
}

/// How a benchmark prints.
enum BenchFormat: String, CaseIterable, ExpressibleByArgument {
  case table, md, json, csv
}

/// The options of every benchmark.
struct BenchOptions: ParsableArguments {
  @Option(name: [.customShort("o"), .long], help: "Print table, md, json or csv.")
  var output: BenchFormat = .table

  /// Prints a report in the chosen format.
  func show<Row: BenchRow>(_ report: BenchReport<Row>) throws {
    switch output {
    case .json: print(try report.json())
    case .csv: print(try report.csv())
    case .md, .table:
      var table = Table(Row.header)
      for row in report.rows { table.append(row.cells) }
      print(output == .md ? table.render() : plain(table.render()))
    }
  }

  /// The table without the marks of Markdown.
  private func plain(_ table: String) -> String {
    table.split(separator: "\n").enumerated().filter { $0.offset != 1 }.map { _, line in
      String(line.dropFirst(2).dropLast(2)).replacing(" | ", with: "  ")
    }.joined(separator: "\n")
  }

  /// Runs `body`; a benchmark's refusal becomes this tool's.
  func refusing<R>(_ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as BenchError {
      throw CommandError(error.code == .argument ? .usage : .unavailable, error.message)
    }
  }
}
