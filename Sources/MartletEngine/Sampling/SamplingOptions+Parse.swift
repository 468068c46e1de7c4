import MartletModel

extension SamplingOptions {
  /// The names ``parse(_:)`` knows, in the order in which the rules apply.
  public static let optionNames = [
    "logit-bias", "repetition-penalty", "presence-penalty", "frequency-penalty", "penalty-window",
    "temperature", "top-n-sigma", "top-k", "top-p", "min-p",
  ]

  /// Those of ``optionNames`` that shape the draw and do nothing where the most likely token is
  /// taken.
  public static let drawingOptionNames: Set = [
    "temperature", "top-n-sigma", "top-k", "top-p", "min-p",
  ]

  /// Options from text such as `top-n-sigma=1,temperature=0.8`. `logit-bias=ID:VALUE` may be
  /// repeated. An empty text is plain sampling.
  ///
  /// Throws ``EngineError/Code/argument`` naming the key and value at fault.
  public static func parse(_ text: String) throws(EngineError) -> SamplingOptions {
    var names = Set<String>()
    return try parse(text, names: &names)
  }

  /// ``parse(_:)``, which also tells the names that were given.
  public static func parse(
    _ text: String, names seen: inout Set<String>
  ) throws(EngineError) -> SamplingOptions {
    var options = SamplingOptions()
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let item = part.trimmingSpaces()
      if item.isEmpty {
        if text.trimmingSpaces().isEmpty { break }
        throw EngineError(
          .argument, "sampling '\(text)' has an empty part; write key=value,key=value")
      }
      guard let equals = item.firstIndex(of: "=") else {
        throw EngineError(.argument, "sampling option '\(item)' has no value; write \(item)=VALUE")
      }
      let key = item[..<equals].trimmingSpaces()
      let value = item[item.index(after: equals)...].trimmingSpaces()
      if !seen.insert(key).inserted, key != "logit-bias" {
        throw EngineError(.argument, "sampling option '\(key)' is given twice")
      }
      try options.set(key, to: value)
    }
    try options.validate()
    return options
  }

  private mutating func set(_ key: String, to value: String) throws(EngineError) {
    switch key {
    case "temperature": temperature = try number(key, value)
    case "top-k": topK = try integer(key, value)
    case "top-p": topP = try number(key, value)
    case "min-p": minP = try number(key, value)
    case "top-n-sigma": topNSigma = try number(key, value)
    case "repetition-penalty": repetitionPenalty = try number(key, value)
    case "presence-penalty": presencePenalty = try number(key, value)
    case "frequency-penalty": frequencyPenalty = try number(key, value)
    case "penalty-window": penaltyWindow = try integer(key, value)
    case "logit-bias":
      let parts = value.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, let token = Token(parts[0]), let bias = Float(parts[1]) else {
        throw EngineError(
          .argument, "logit-bias '\(value)' is not TOKEN:VALUE, for example logit-bias=13:-2.5")
      }
      logitBias[token] = bias
    default:
      throw EngineError(
        .argument,
        "unknown sampling option '\(key)'; known are "
          + SamplingOptions.optionNames.joined(separator: ", "))
    }
  }

  private func number(_ key: String, _ value: String) throws(EngineError) -> Float {
    guard let number = Float(value), !number.isNaN else {
      throw EngineError(.argument, "\(key)=\(value): '\(value)' is not a number")
    }
    return number
  }

  private func integer(_ key: String, _ value: String) throws(EngineError) -> Int {
    guard let number = Int(value) else {
      throw EngineError(.argument, "\(key)=\(value): '\(value)' is not a whole number")
    }
    return number
  }

  /// Checks every range, and against a vocabulary where one is given.
  ///
  /// Throws ``EngineError/Code/argument`` naming the option, its value and its range.
  public func validate(vocabularySize: Int? = nil) throws(EngineError) {
    func require(_ holds: Bool, _ text: @autoclosure () -> String) throws(EngineError) {
      if !holds { throw EngineError(.argument, text()) }
    }
    try require(
      temperature >= 0 && temperature.isFinite,
      "temperature=\(temperature) is out of range: 0 (greedy) or more")
    try require(topK.map { $0 >= 1 } ?? true, "top-k=\(topK ?? 0) is out of range: 1 or more")
    try require(topP > 0 && topP <= 1, "top-p=\(topP) is out of range: above 0, at most 1")
    try require(minP >= 0 && minP <= 1, "min-p=\(minP) is out of range: 0 to 1")
    if let topNSigma {
      try require(
        topNSigma >= 0 && topNSigma.isFinite, "top-n-sigma=\(topNSigma) is out of range: 0 or more")
    }
    try require(
      repetitionPenalty > 0 && repetitionPenalty.isFinite,
      "repetition-penalty=\(repetitionPenalty) is out of range: above 0 (1 is off)")
    try require(presencePenalty.isFinite, "presence-penalty=\(presencePenalty) is not finite")
    try require(frequencyPenalty.isFinite, "frequency-penalty=\(frequencyPenalty) is not finite")
    try require(penaltyWindow >= 0, "penalty-window=\(penaltyWindow) is out of range: 0 or more")
    for (token, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
      try require(
        token >= 0 && Int(token) < vocabularySize ?? Int.max,
        "logit-bias names token \(token), outside the vocabulary"
          + (vocabularySize.map { " of \($0)" } ?? ""))
      try require(!bias.isNaN && bias < .infinity, "logit-bias of token \(token) is \(bias)")
    }
  }
}

extension StringProtocol {
  fileprivate func trimmingSpaces() -> String {
    let kept = drop { $0.isWhitespace }
    return String(kept.reversed().drop { $0.isWhitespace }.reversed())
  }
}
