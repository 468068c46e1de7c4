import Foundation

/// A chart as SVG. Names of series stand in a legend beside charts, so that no label covers another.
struct Chart {
  /// A place, with its interval upwards where there is one.
  struct Point {
    let x: Double
    let y: Double
    var interval: ClosedRange<Double>?
    /// Shown when the pointer rests on it.
    var title = ""
  }

  /// Points of one colour and mark.
  struct Series {
    /// Chooses colour and mark.
    let style: Int
    let points: [Point]
    var hasLine = true
    var hasMarks = true
    var isDashed = false
  }

  let title: String
  let xLabel: String
  let yLabel: String
  var isLogarithmic = false
  /// The values of y; shares if not given.
  var yRange: ClosedRange<Double> = 0...1
  var xRange: ClosedRange<Double>?
  /// A line from corner to corner: where confidence is right.
  var hasDiagonal = false
  var xText: (Double) -> String = Format.count
  var series: [Series]

  private let width = 520.0
  private let height = 330.0
  private let left = 66.0
  private let right = 26.0
  private let top = 12.0
  private let bottom = 46.0

  init(
    title: String, xLabel: String, yLabel: String, isLogarithmic: Bool = false,
    xRange: ClosedRange<Double>? = nil, hasDiagonal: Bool = false,
    xText: @escaping (Double) -> String = Format.count, series: [Series]
  ) {
    (self.title, self.xLabel, self.yLabel) = (title, xLabel, yLabel)
    (self.isLogarithmic, self.xRange, self.hasDiagonal) = (isLogarithmic, xRange, hasDiagonal)
    (self.xText, self.series) = (xText, series)
  }

  /// The chart with its title, as a figure.
  var html: String {
    let axis = Axis(
      range: xRange ?? Self.range(series, isLogarithmic), isLogarithmic: isLogarithmic)
    var parts = [
      "<figure><figcaption>\(Format.html(title))</figcaption>",
      "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" "
        + "aria-label=\"\(Format.html(title))\">",
    ]
    parts += grid(axis)
    if hasDiagonal {
      parts.append(
        "<line class=\"diagonal\" x1=\"\(at(left))\" y1=\"\(y(0))\" x2=\"\(at(width - right))\" "
          + "y2=\"\(y(1))\"/>")
    }
    for entry in series { parts += draw(entry, axis) }
    return (parts + ["</svg></figure>"]).joined(separator: "\n")
  }

  private func grid(_ axis: Axis) -> [String] {
    var parts: [String] = []
    for step in 0...5 {
      let value = yRange.lowerBound + Double(step) / 5 * (yRange.upperBound - yRange.lowerBound)
      parts.append(
        "<line class=\"grid\" x1=\"\(at(left))\" x2=\"\(at(width - right))\" y1=\"\(y(value))\" "
          + "y2=\"\(y(value))\"/><text class=\"tick\" text-anchor=\"end\" x=\"\(at(left - 7))\" "
          + "y=\"\(y(value, 4))\">\(Int((100 * value).rounded())) %</text>")
    }
    for value in axis.ticks {
      parts.append(
        "<line class=\"grid\" x1=\"\(x(value, axis))\" x2=\"\(x(value, axis))\" "
          + "y1=\"\(at(top))\" y2=\"\(at(height - bottom))\"/>"
          + "<text class=\"tick\" text-anchor=\"middle\" x=\"\(x(value, axis))\" "
          + "y=\"\(at(height - bottom + 17))\">\(Format.html(xText(value)))</text>")
    }
    parts.append(
      "<text class=\"label\" text-anchor=\"middle\" x=\"\(at((left + width - right) / 2))\" "
        + "y=\"\(at(height - 8))\">\(Format.html(xLabel))</text>")
    let middle = (top + height - bottom) / 2
    parts.append(
      "<text class=\"label\" text-anchor=\"middle\" "
        + "transform=\"translate(15 \(at(middle))) rotate(-90)\">\(Format.html(yLabel))</text>")
    return parts
  }

  private func draw(_ entry: Series, _ axis: Axis) -> [String] {
    var parts = ["<g class=\"s\(entry.style)\">"]
    if entry.hasLine, entry.points.count > 1 {
      let path = entry.points.map { "\(x($0.x, axis)),\(y($0.y))" }.joined(separator: " ")
      parts.append("<polyline\(entry.isDashed ? " class=\"dashed\"" : "") points=\"\(path)\"/>")
    }
    if entry.hasMarks {
      for point in entry.points {
        if let interval = point.interval {
          parts.append(
            "<line class=\"interval\" x1=\"\(x(point.x, axis))\" x2=\"\(x(point.x, axis))\" "
              + "y1=\"\(y(interval.lowerBound))\" y2=\"\(y(interval.upperBound))\"/>")
        }
        let mark = Mark.path(
          entry.style, axis.place(point.x, from: left, to: width - right), place(point.y))
        parts.append("<path d=\"\(mark)\"><title>\(Format.html(point.title))</title></path>")
      }
    }
    return parts + ["</g>"]
  }

  private func x(_ value: Double, _ axis: Axis) -> String {
    at(axis.place(value, from: left, to: width - right))
  }

  private func y(_ value: Double, _ offset: Double = 0) -> String { at(place(value) + offset) }

  private func place(_ value: Double) -> Double {
    let share = (value - yRange.lowerBound) / (yRange.upperBound - yRange.lowerBound)
    return height - bottom - min(1, max(0, share)) * (height - bottom - top)
  }

  private func at(_ value: Double) -> String { String(format: "%.1f", value) }

  private static func range(_ series: [Series], _ isLogarithmic: Bool) -> ClosedRange<Double> {
    let values = series.flatMap { $0.points.map(\.x) }.filter { !isLogarithmic || $0 > 0 }
    guard let low = values.min(), let high = values.max() else { return 1...2 }
    if isLogarithmic { return low * 0.85...max(high * 1.18, low * 2) }
    return min(0, low)...max(high * 1.05, low + 1e-9)
  }
}

/// The horizontal axis: places of values, and the values that are written out.
package struct Axis {
  let range: ClosedRange<Double>
  let isLogarithmic: Bool

  package init(range: ClosedRange<Double>, isLogarithmic: Bool) {
    (self.range, self.isLogarithmic) = (range, isLogarithmic)
  }

  func place(_ value: Double, from start: Double, to end: Double) -> Double {
    let (low, high) = (range.lowerBound, range.upperBound)
    let share =
      isLogarithmic
      ? (log(max(value, low)) - log(low)) / (log(high) - log(low)) : (value - low) / (high - low)
    return start + min(1, max(0, share)) * (end - start)
  }

  /// At most eight round values.
  package var ticks: [Double] { isLogarithmic ? logarithmicTicks : linearTicks }

  private var linearTicks: [Double] {
    let rough = (range.upperBound - range.lowerBound) / 5
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? rough
    let first = (range.lowerBound / step).rounded(.up)
    let last = (range.upperBound / step + 1e-9).rounded(.down)
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  private var logarithmicTicks: [Double] {
    let powers = Int(floor(log10(range.lowerBound)))...Int(ceil(log10(range.upperBound)))
    for factors in [[1.0, 2, 5], [1, 3], [1]] {
      let ticks = powers.flatMap { power in factors.map { $0 * pow(10, Double(power)) } }
        .filter(range.contains)
      if (2...8).contains(ticks.count) { return ticks }
    }
    // Less than a factor of ten, or very many: the ends and what is between them.
    return [range.lowerBound, (range.lowerBound * range.upperBound).squareRoot(), range.upperBound]
  }
}

/// Marks tell series apart where colours do not.
enum Mark {
  static func path(_ style: Int, _ x: Double, _ y: Double) -> String {
    func move(_ points: [(Double, Double)]) -> String {
      let places = points.map { String(format: "%.1f %.1f", x + $0.0, y + $0.1) }
      return "M" + places.joined(separator: "L") + "Z"
    }
    switch style % 4 {
    case 0: return String(format: "M%.1f %.1fa4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z", x - 4, y)
    case 1: return move([(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)])
    case 2: return move([(0, -5), (5, 0), (0, 5), (-5, 0)])
    default: return move([(0, -4.8), (4.6, 3.6), (-4.6, 3.6)])
    }
  }

  /// A mark on its own, for legends.
  static func legend(_ style: Int) -> String {
    "<svg class=\"key s\(style)\" viewBox=\"0 0 12 12\"><path d=\"\(path(style, 6, 6))\"/></svg>"
  }
}
