/// The decimal numbers that are whole multiples of a number, as an automaton over digits: a state is how
/// many digits behind the point were read, and the remainder of all digits so far.
///
/// 0.25 is 25 hundredths: 3.5 is a multiple because 35 · 10 leaves no remainder by 25. There are
/// steps · (places + 1) states. Numbers have no exponent and no more places than the step has.
struct Multiples {
  /// The step in units of its last place, and how many places it has.
  private let step: Int
  private let places: Int

  /// The most units of a step, so that automata stay small.
  static let mostUnits = 10_000

  /// nil for a step that is not positive, or too fine or large.
  init?(of step: DecimalNumber) {
    guard !step.isNegative, !step.isZero, step.fraction.count <= 9, step.whole.count <= 9 else {
      return nil
    }
    let units = (step.whole + step.fraction).reduce(0) { $0 * 10 + Int($1) }
    guard units <= Self.mostUnits else { return nil }
    self.step = units
    places = step.fraction.count
  }

  /// All multiples, without leading zeros and without -0, of any length.
  func compile(_ graph: inout PatternGraph, isInteger: Bool) throws(EngineError)
    -> PatternGraph.Fragment
  {
    let start = try graph.node()
    let unsigned = try graph.node()
    let end = try graph.node()
    graph.connect(start, unsigned)
    graph.connect(start, unsigned, on: 0x2D...0x2D)
    let phases = isInteger ? 1 : places + 1
    // Node `place` · step + remainder; phase 0 is before the point.
    var nodes: [Int32] = []
    for _ in 0..<phases * step { nodes.append(try graph.node()) }
    let zero = try graph.node()
    graph.connect(unsigned, zero, on: 0x30...0x30)
    for digit in 1...9 {
      graph.connect(unsigned, nodes[digit % step], on: Self.byte(digit))
    }
    for phase in 0..<phases {
      let scale = Self.power(places - phase, modulo: step)
      for remainder in 0..<step {
        let node = nodes[phase * step + remainder]
        if remainder * scale % step == 0 { graph.connect(node, end) }
        if phase == 0 {
          for digit in 0...9 {
            graph.connect(node, nodes[(remainder * 10 + digit) % step], on: Self.byte(digit))
          }
        }
      }
    }
    graph.connect(zero, end)
    guard phases > 1 else { return .init(start: start, end: end) }
    // Behind the point, at least one digit.
    var points: [Int32] = []
    for _ in 0..<step { points.append(try graph.node()) }
    graph.connect(zero, points[0], on: 0x2E...0x2E)
    for remainder in 0..<step {
      graph.connect(nodes[remainder], points[remainder], on: 0x2E...0x2E)
    }
    for phase in 1..<phases {
      for remainder in 0..<step {
        let from = phase == 1 ? points[remainder] : nodes[(phase - 1) * step + remainder]
        for digit in 0...9 {
          graph.connect(
            from, nodes[phase * step + (remainder * 10 + digit) % step], on: Self.byte(digit))
        }
      }
    }
    return .init(start: start, end: end)
  }

  private static func byte(_ digit: Int) -> ClosedRange<UInt8> {
    UInt8(0x30 + digit)...UInt8(0x30 + digit)
  }

  private static func power(_ exponent: Int, modulo: Int) -> Int {
    (0..<exponent).reduce(1 % modulo) { power, _ in power * 10 % modulo }
  }
}
