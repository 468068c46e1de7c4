import ArgumentParser
import Foundation
import Martlet

/// `martlet model cost`.
struct ModelCostCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cost",
    abstract: "Opens a model and prints what a step costs by its width, and where the knee is.",
    discussion: """
      A step decodes one token on each of `width` branches at a short context, logits included, \
      sampling not. The knee is the largest width whose step costs at most twice a step of one. \
      Figures are kept and read again at the next start; --remeasure takes them anew and tunes \
      threads and prefill chunks thoroughly.
      """)

  @OptionGroup var model: ModelOptions

  @Flag(help: "Measure again, whatever is kept.")
  var remeasure = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let begin = ContinuousClock.now
    let session = try model.open(tuning: remeasure ? .thorough : .quick)
    let opened = begin.duration(to: .now) / .seconds(1)
    if remeasure { session.engine.remeasureCost() }
    let report = Report(session, opened: opened)
    if json {
      let encoder = JSONEncoder()
      encoder.keyEncodingStrategy = .convertToSnakeCase
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      print(String(decoding: try encoder.encode(report), as: UTF8.self))
    } else {
      print(report.table)
      FileHandle.standardError.write(Data((report.summary + "\n").utf8))
    }
  }

  /// What is printed; the JSON's keys are these names in snake case.
  private struct Report: Encodable {
    struct Row: Encodable {
      let width: Int
      let milliseconds: Double
      let widthCost: Double
      let tokensPerS: Double
    }

    let schema = 1
    let model: String
    let origin: CostCurve.Origin
    let rows: [Row]
    let kneeWidth: Int
    let kneeFactor = CostCurve.kneeFactor
    let tuning: Tuning
    let opening: OpeningReport
    let sessionSeconds: Double
    let peakResidentBytes: Int?

    init(_ session: Session, opened: Double) {
      let curve = session.engine.costCurve
      model = session.model.configuration.name
      origin = curve.origin
      rows = curve.points.map { point in
        Row(
          width: point.width, milliseconds: point.seconds * 1e3,
          widthCost: curve.cost(point.width), tokensPerS: Double(point.width) / point.seconds)
      }
      kneeWidth = session.engine.kneeWidth
      tuning = session.tuning
      opening = session.model.opening
      sessionSeconds = opened
      peakResidentBytes = OpeningReport.peakResidentBytes
    }

    var table: String {
      var table = Table(["width", "ms per step", "cost", "tokens/s"])
      for row in rows {
        table.append([
          String(row.width), String(format: "%.3f", row.milliseconds),
          String(format: "%.2f", row.widthCost), String(format: "%.0f", row.tokensPerS),
        ])
      }
      return table.render()
    }

    var summary: String {
      let share = peakResidentBytes.map { Double($0) / Double(max(1, opening.fileBytes)) }
      return "\(model): knee at width \(kneeWidth) (a step costs at most \(kneeFactor) times one); "
        + "\(origin.rawValue); \(tuning); opened in \(seconds(sessionSeconds)), pack cache "
        + "\(opening.cache.rawValue)"
        + (share.map { String(format: ", peak memory %.2f of the file", $0) } ?? "")
    }
  }
}
