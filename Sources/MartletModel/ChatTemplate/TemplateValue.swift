/// A value in a template: what Python values a chat template can meet.
public indirect enum TemplateValue: Sendable {
  /// A name or key that is not there; `name` is for messages.
  case undefined(name: String)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  case list([TemplateValue])
  /// Keys in order.
  case dictionary(TemplateDictionary)
  /// A `namespace()`.
  case namespace(TemplateNamespace)
  /// A function, or a method with what it belongs to.
  case function(TemplateFunction)
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByFloatLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .float(value) }
  public init(nilLiteral: ()) { self = .none }
  public init(arrayLiteral elements: TemplateValue...) { self = .list(elements) }
  public init(dictionaryLiteral elements: (String, TemplateValue)...) {
    var dictionary = TemplateDictionary()
    for (key, value) in elements { dictionary[.string(key)] = value }
    self = .dictionary(dictionary)
  }
}

/// A dictionary that keeps the order in which keys were added. Keys are strings or numbers.
public struct TemplateDictionary: Sendable {
  /// What may be a key.
  enum Key: Hashable, Sendable {
    case string(String)
    case integer(Int)
    case none
  }

  private(set) var keys: [TemplateValue] = []
  private(set) var values: [TemplateValue] = []
  private var index: [Key: Int] = [:]

  /// No entries.
  public init() {}

  /// The number of entries.
  public var count: Int { keys.count }

  /// The value of a key; setting adds or replaces. A key that cannot be one has no value.
  public subscript(key: TemplateValue) -> TemplateValue? {
    get { Self.key(key).flatMap { index[$0] }.map { values[$0] } }
    set {
      guard let hashed = Self.key(key), let newValue else { return }
      if let place = index[hashed] {
        values[place] = newValue
      } else {
        index[hashed] = keys.count
        keys.append(key)
        values.append(newValue)
      }
    }
  }

  static func key(_ value: TemplateValue) -> Key? {
    switch value {
    // Swift compares strings up to canonical equivalence, Python code point by code point.
    case .string(let text): .string(TemplateText.exactKey(text))
    case .integer(let value): .integer(value)
    case .bool(let value): .integer(value ? 1 : 0)
    case .none: Key.none
    default: nil
    }
  }
}

/// Variables that a template may set from inside a loop. One rendering has it to itself.
public final class TemplateNamespace: @unchecked Sendable {
  // Sound: made by a rendering, reachable from that rendering only, which runs on one thread.
  var values: [String: TemplateValue] = [:]
}

/// Something that can be called.
public struct TemplateFunction: Sendable {
  enum Kind: Sendable {
    case global(String)
    case method(TemplateValue, String)
    case macro(TemplateMacro)
    case cycle(Int)
  }

  let kind: Kind
}

extension TemplateValue {
  /// What the value is, for messages.
  var kindName: String {
    switch self {
    case .undefined(let name): "'\(name)', which is undefined"
    case .none: "none"
    case .bool: "a boolean"
    case .integer, .float: "a number"
    case .string: "a string"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .namespace: "a namespace"
    case .function: "a function"
    }
  }

  /// Python's idea of truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items): !items.isEmpty
    case .dictionary(let entries): entries.count > 0
    case .namespace, .function: true
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { true } else { false }
  }

  /// The number a number or boolean is.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .float(let value): value
    default: nil
    }
  }

  /// The integer an integer or boolean is.
  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }
}
