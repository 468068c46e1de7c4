/// An option that a component declares in its manifest.
public struct OptionDeclaration: Sendable, Equatable {
  /// What values an option takes.
  public enum ValueType: String, Sendable, CaseIterable {
    case integer
    case number
    case text
    /// `true` or `false`; an integer 1 or 0 to the plugin as well.
    case flag
    /// One of ``OptionDeclaration/choices``.
    case choice
  }

  /// What `--set name=value` calls it.
  public let name: String
  /// What values it takes.
  public let type: ValueType
  /// The least allowed value of an integer or number.
  public let minimum: Double?
  /// The greatest allowed value of an integer or number.
  public let maximum: Double?
  /// The allowed values of a choice.
  public let choices: [String]
  /// The value when the user sets none.
  public let defaultValue: String
  /// What a number counts: `branches`, `tokens`; empty for none.
  public let unit: String
  /// One sentence for lists.
  public let summary: String

  init(_ reader: FieldReader) throws(ScalingError) {
    var fields = reader
    name = try fields.text("name")
    guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "=") })
    else {
      throw fields.failure("name", "is '\(name)'; use printable characters without space or '='")
    }
    let typeName = try fields.text("type")
    guard let type = ValueType(rawValue: typeName) else {
      let known = ValueType.allCases.map(\.rawValue).joined(separator: ", ")
      throw fields.failure("type", "is '\(typeName)', which is none of \(known)")
    }
    self.type = type
    minimum = try fields.optionalNumber("min")
    maximum = try fields.optionalNumber("max")
    choices = try fields.texts("choices")
    guard let defaultValue = try fields.scalar("default") else {
      throw fields.failure("default", "is missing")
    }
    self.defaultValue = defaultValue
    unit = try fields.optionalText("unit") ?? ""
    summary = try fields.text("summary")
    if let minimum, let maximum, minimum > maximum {
      throw fields.failure("min", "is greater than max")
    }
    if type == .choice, choices.isEmpty {
      throw fields.failure("choices", "must list the allowed values of a choice")
    }
    if let problem = problem(with: defaultValue) {
      throw fields.failure("default", "is '\(defaultValue)'; it \(problem)")
    }
    try fields.finish()
  }

  /// What is wrong with a value, as the end of a sentence that begins with the option; nil when it
  /// is fine.
  func problem(with value: String) -> String? {
    if value.contains("\0") { return "must not contain a NUL character" }
    switch type {
    case .integer:
      guard let integer = Int64(value) else { return "must be an integer\(range)" }
      return isAllowed(Double(integer)) ? nil : "must be an integer\(range)"
    case .number:
      guard let number = Double(value), number.isFinite, isAllowed(number) else {
        return "must be a number\(range)"
      }
      return nil
    case .text: return nil
    case .flag: return ["true", "false"].contains(value) ? nil : "must be true or false"
    case .choice:
      return choices.contains(value) ? nil : "must be one of \(choices.joined(separator: ", "))"
    }
  }

  private func isAllowed(_ value: Double) -> Bool {
    value >= minimum ?? -.infinity && value <= maximum ?? .infinity
  }

  private var range: String {
    switch (minimum, maximum) {
    case (nil, nil): ""
    case (let low?, nil): " of at least \(plain(low))"
    case (nil, let high?): " of at most \(plain(high))"
    case (let low?, let high?): " from \(plain(low)) to \(plain(high))"
    }
  }

  private func plain(_ value: Double) -> String {
    Int64(exactly: value).map(String.init) ?? "\(value)"
  }
}

/// The options of one component in one run: declared, checked, and complete with defaults.
struct ResolvedOptions: Sendable {
  private let declarations: [String: OptionDeclaration]
  private let values: [String: String]

  /// Checks what the user set against what the component declares.
  /// - Parameter suiting: values that suit the model, for options that are declared and not set.
  /// - Throws: `option` naming the component, the option and what it accepts.
  init(
    _ component: ComponentManifest, set: [String: String], suiting: [String: String] = [:]
  ) throws(ScalingError) {
    var declarations: [String: OptionDeclaration] = [:]
    for option in component.options { declarations[option.name] = option }
    for (name, value) in set.sorted(by: { $0.key < $1.key }) {
      guard let option = declarations[name] else {
        let known = component.options.map(\.name).joined(separator: ", ")
        throw ScalingError(
          .option,
          "\(component.kind) '\(component.id)' has no option '\(name)'; "
            + (known.isEmpty ? "it has none" : "it has: \(known)"))
      }
      if let problem = option.problem(with: value) {
        throw ScalingError(
          .option,
          "option '\(name)' of \(component.kind) '\(component.id)' \(problem), not '\(value)'")
      }
    }
    self.declarations = declarations
    let suitable = suiting.filter { name, value in
      declarations[name].map { $0.problem(with: value) == nil } ?? false
    }
    values = suitable.merging(set) { $1 }
  }

  func declaration(_ name: String) -> OptionDeclaration? { declarations[name] }

  /// The value as text; nil for an undeclared name.
  func text(_ name: String) -> String? {
    declarations[name].map { values[name] ?? $0.defaultValue }
  }
}
