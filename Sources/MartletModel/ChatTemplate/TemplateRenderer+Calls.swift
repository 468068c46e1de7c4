extension TemplateRenderer {
  static let stringMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "rsplit", "splitlines", "upper",
    "lower", "title", "capitalize", "replace", "find", "rfind", "count", "join", "isdigit",
    "isalpha", "isspace", "removeprefix", "removesuffix", "index",
  ]
  static let dictionaryMethods: Set<String> = ["items", "keys", "values", "get"]
  static let listMethods: Set<String> = ["index", "count"]

  mutating func call(
    _ callee: TemplateValue, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    guard case .function(let function) = callee else {
      throw error("\(callee.kindName) cannot be called")
    }
    switch function.kind {
    case .macro(let macro): return try call(macro, arguments)
    case .global(let name): return try callGlobal(name, arguments)
    case .cycle(let index):
      guard !arguments.positional.isEmpty else { throw error("'cycle' needs items") }
      return arguments.positional[index % arguments.positional.count]
    case .method(.string(let text), let name): return try callMethod(text, name, arguments)
    case .method(.dictionary(let entries), let name):
      switch name {
      case "items": return .list(zip(entries.keys, entries.values).map { .list([$0, $1]) })
      case "keys": return .list(entries.keys)
      case "values": return .list(entries.values)
      default:
        guard let key = arguments.argument(0, "key") else { throw error("'get' needs a key") }
        return entries[key] ?? arguments.argument(1, "default") ?? .none
      }
    case .method(.list(let items), let name):
      guard let value = arguments.positional.first else { throw error("'\(name)' needs a value") }
      var count = 0
      for (index, item) in items.enumerated() {
        guard try equal(item, value) else { continue }
        if name == "index" { return .integer(index) }
        count += 1
      }
      guard name == "count" else { throw error("the value is not in the list") }
      return .integer(count)
    case .method(_, let name): throw error("'\(name)' cannot be called here")
    }
  }

  private mutating func callGlobal(
    _ name: String, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    switch name {
    case "raise_exception":
      let message = try text(of: arguments.positional.first ?? "")
      throw error("the template refuses these messages: \(message)")
    case "namespace", "dict":
      var entries = TemplateDictionary()
      if case .dictionary(let given)? = arguments.positional.first { entries = given }
      for (name, value) in arguments.named { entries[.string(name)] = value }
      try checkNesting(.dictionary(entries))
      if name == "dict" { return .dictionary(entries) }
      var values: [String: TemplateValue] = [:]
      for (key, value) in zip(entries.keys, entries.values) {
        values[try text(of: key)] = value
      }
      return makeNamespace(values)
    case "strftime_now":
      let format = try string(arguments.positional.first, "the format of 'strftime_now'")
      guard let text = date.formatted(format) else {
        throw error("'strftime_now' does not support the format '\(format)'")
      }
      return .string(text)
    default: return try range(arguments)
    }
  }

  private mutating func range(_ arguments: TemplateCall) throws(ModelError) -> TemplateValue {
    var bounds: [Int] = []
    for argument in arguments.positional {
      guard let bound = argument.integer, bound.magnitude <= 1 << 40 else {
        throw error("'range' needs integers of sensible size")
      }
      bounds.append(bound)
    }
    guard (1...3).contains(bounds.count), bounds.count < 3 || bounds[2] != 0 else {
      throw error("'range' needs one to three integers, the last not 0")
    }
    let start = bounds.count > 1 ? bounds[0] : 0
    let stop = bounds.count > 1 ? bounds[1] : bounds[0]
    let by = bounds.count > 2 ? bounds[2] : 1
    guard (stop - start) / by <= 100_000 else { throw error("'range' is longer than 100000") }
    try step(max(0, (stop - start) / by))
    return .list(stride(from: start, to: stop, by: by).map { .integer($0) })
  }

  func string(_ value: TemplateValue?, _ what: String) throws(ModelError) -> String {
    guard case .string(let text)? = value else {
      throw error("\(what) must be a string, not \(value?.kindName ?? "absent")")
    }
    return text
  }

  private mutating func callMethod(
    _ text: String, _ name: String, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    let first = arguments.positional.first
    try step(text.utf8.count / 64)
    switch name {
    case "strip", "lstrip", "rstrip":
      let set = try optionalString(first, "the argument of '\(name)'")
      return .string(
        try made(TemplateText.strip(text, set, left: name != "rstrip", right: name != "lstrip")))
    case "startswith", "endswith":
      let parts: [TemplateValue]
      if case .list(let items)? = first { parts = items } else { parts = first.map { [$0] } ?? [] }
      for part in parts {
        let part = Array(try string(part, "the argument of '\(name)'").utf8)
        let found =
          name == "startswith"
          ? text.utf8.starts(with: part) : text.utf8.suffix(part.count).elementsEqual(part)
        if found { return true }
      }
      return false
    case "split", "rsplit":
      return try split(text, name, arguments)
    case "splitlines":
      try willMake(text.utf8.count)
      return .list(TemplateText.lines(text).map { .string($0) })
    case "upper": return .string(try made(text.uppercased()))
    case "lower": return .string(try made(text.lowercased()))
    case "title": return try filter("title", .string(text), TemplateCall())
    case "capitalize": return .string(try made(TemplateText.capitalized(text)))
    case "replace": return try filter("replace", .string(text), arguments)
    case "join":
      guard let first else { throw error("'join' needs a list") }
      return try filter("join", first, TemplateCall(positional: [.string(text)]))
    case "find", "rfind", "index", "count":
      return try search(text, name, try string(first, "the argument of '\(name)'"))
    case "isdigit":
      return .bool(
        !text.isEmpty
          && text.unicodeScalars.allSatisfy {
            $0.properties.numericType == .decimal || $0.properties.numericType == .digit
          })
    case "isalpha":
      return .bool(
        !text.isEmpty
          && text.unicodeScalars.allSatisfy {
            ScalarClass.letter.contains(ScalarClass.of($0.value))
          })
    case "isspace":
      return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(TemplateText.isSpace))
    default:
      let part = try string(first, "the argument of '\(name)'")
      let prefix = name == "removeprefix"
      let bytes = Array(part.utf8)
      let found =
        prefix
        ? text.utf8.starts(with: bytes) : text.utf8.suffix(bytes.count).elementsEqual(bytes)
      guard found else { return .string(text) }
      let rest = prefix ? text.utf8.dropFirst(bytes.count) : text.utf8.dropLast(bytes.count)
      return .string(try made(String(decoding: Array(rest), as: UTF8.self)))
    }
  }

  func optionalString(
    _ value: TemplateValue?, _ what: String
  ) throws(ModelError) -> String? {
    guard let value else { return nil }
    if case .none = value { return nil }
    return try string(value, what)
  }

  private mutating func split(
    _ text: String, _ name: String, _ arguments: TemplateCall
  ) throws(ModelError) -> TemplateValue {
    let separator = try optionalString(
      arguments.argument(0, "sep"), "the separator of '\(name)'")
    let limit = arguments.argument(1, "maxsplit")?.integer ?? -1
    try willMake(text.utf8.count)
    try step(text.utf8.count / 8)
    guard let separator else {
      guard name == "split" || limit < 0 else {
        throw error("'rsplit' without a separator but with a limit is not supported")
      }
      return .list(
        TemplateText.words(text, limit: limit < 0 ? .max : limit).map { .string($0) })
    }
    guard !separator.isEmpty else { throw error("'\(name)' has an empty separator") }
    let pieces =
      name == "split"
      ? TemplateText.pieces(text, separator, limit: limit < 0 ? .max : limit)
      : TemplateText.piecesFromRight(text, separator, limit: limit)
    return .list(pieces.map { .string($0) })
  }

  private mutating func search(
    _ text: String, _ name: String, _ part: String
  ) throws(ModelError) -> TemplateValue {
    let bytes = Array(text.utf8)
    let wanted = Array(part.utf8)
    try step(bytes.count / 16)
    var places: [Int] = []
    var from = 0
    while let place = TemplateText.find(wanted, in: bytes, from: from) {
      places.append(place)
      if name == "find" || name == "index" { break }
      from = place + (name == "count" ? max(1, wanted.count) : 1)
    }
    if name == "count" { return .integer(places.count) }
    guard let place = name == "rfind" ? places.last : places.first else {
      guard name != "index" else { throw error("the text does not contain '\(part)'") }
      return .integer(-1)
    }
    return .integer(String(decoding: bytes[..<place], as: UTF8.self).unicodeScalars.count)
  }
}
