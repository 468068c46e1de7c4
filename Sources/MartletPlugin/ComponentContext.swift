import CMartlet

/// How loud a log line is.
public enum LogLevel: Int32, Sendable {
  case debug = 0
  case info = 1
  case warning = 2
  case error = 3
}

/// What a budget counts.
public enum Resource: UInt32, Sendable {
  /// Sampled tokens of every branch, discarded ones included.
  case tokens = 1
  /// Wall-clock seconds.
  case seconds = 2
  /// KV bytes held now against the ceiling.
  case kvBytes = 3
  /// Sampled, prompt, appended and scored tokens.
  case totalTokens = 4
  /// Floating-point operations.
  case flops = 5
}

/// What every component may ask of its run, from any thread: options, budget, randomness, log and
/// trace. Valid until the component instance goes away.
public struct ComponentContext: Sendable {
  let table: HostTable

  /// An option's text: what the user set, else the manifest's default.
  /// - Throws: `notFound` for a name the manifest does not declare.
  public func text(_ option: String) throws(PluginError) -> String {
    try table.readText("option_text") { buffer, capacity, needed in
      table.host.pointee.option_text?(table.run, option, buffer, capacity, needed)
    }
  }

  /// An option of type integer; the host has checked its range.
  /// - Throws: `notFound` for an undeclared name, `argument` for an option of another type.
  public func integer(_ option: String) throws(PluginError) -> Int {
    var value: Int64 = 0
    try table.check(
      table.host.pointee.option_integer?(table.run, option, &value), "option_integer")
    return Int(value)
  }

  /// An option of type number or integer; the host has checked its range.
  /// - Throws: `notFound` for an undeclared name, `argument` for an option of another type.
  public func number(_ option: String) throws(PluginError) -> Double {
    var value = 0.0
    try table.check(table.host.pointee.option_number?(table.run, option, &value), "option_number")
    return value
  }

  /// What is left of a resource: infinite when unlimited, never negative.
  public func budgetLeft(_ resource: Resource) throws(PluginError) -> Double {
    var left = 0.0
    let kind = martlet_resource(rawValue: resource.rawValue)
    try table.check(table.host.pointee.budget_left?(table.run, kind, &left), "budget_left")
    return left
  }

  /// A 64-bit random number for (run seed, `index`): the same on every schedule and machine.
  public func random(_ index: UInt64) throws(PluginError) -> UInt64 {
    var value: UInt64 = 0
    try table.check(table.host.pointee.random?(table.run, nil, index, &value), "random")
    return value
  }

  /// Writes to the host's log under the plugin's name.
  public func log(_ level: LogLevel, _ message: String) {
    message.withCharacters { characters, count in
      table.host.pointee.log?(table.run, level.rawValue, characters, count)
    }
  }

  /// Adds an instant event to the trace.
  /// - Parameter details: shown beside the event, in name order.
  public func trace(_ name: String, _ details: [String: TraceValue] = [:]) throws(PluginError) {
    let json = TraceValue.json(details)
    let status = json.withCharacters { characters, count in
      table.host.pointee.trace?(table.run, name, characters, count)
    }
    try table.check(status, "trace")
  }
}

/// A value beside a trace event.
public enum TraceValue: Sendable, Equatable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
  case integer(Int)
  case number(Double)
  case text(String)
  case flag(Bool)

  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(booleanLiteral value: Bool) { self = .flag(value) }

  /// One JSON object with the keys in order.
  static func json(_ details: [String: TraceValue]) -> String {
    let members = details.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\($0.value.json)" }
    return "{" + members.joined(separator: ",") + "}"
  }

  private var json: String {
    switch self {
    case .integer(let value): "\(value)"
    case .number(let value): value.isFinite ? "\(value)" : Self.quoted("\(value)")
    case .text(let value): Self.quoted(value)
    case .flag(let value): value ? "true" : "false"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
