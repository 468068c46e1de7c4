import MartletModel

extension SamplingOptions {
  /// The names ``parse(_:)`` knows, in the order in which the rules apply.
  public static let optionNames = [
    "logit-bias", "repetition-penalty", "presence-penalty", "frequency-penalty", "penalty-window",
    "dry-multiplier", "dry-base", "dry-allowed-length", "dry-window", "dry-breaker", "suppress",
    "temperature", "first-temperature", "dynamic-range", "dynamic-exponent", "top-n-sigma",
    "top-k", "top-p", "min-p", "typical", "epsilon", "eta", "tail-free", "top-a",
    "xtc-probability", "xtc-threshold", "mirostat-tau", "mirostat-rate", "draw",
  ]

  /// Those that may be given more than once.
  static let repeatedOptionNames: Set = ["logit-bias", "dry-breaker", "suppress"]

  /// Those of ``optionNames`` that shape the draw and do nothing where the most likely token is
  /// taken.
  public static let drawingOptionNames: Set = [
    "temperature", "first-temperature", "dynamic-range", "dynamic-exponent", "top-n-sigma",
    "top-k", "top-p", "min-p", "typical", "epsilon", "eta", "tail-free", "top-a",
    "xtc-probability", "xtc-threshold", "mirostat-tau", "mirostat-rate", "draw",
  ]

  /// Options from text such as `top-n-sigma=1,temperature=0.8`. `logit-bias=ID:VALUE`,
  /// `suppress=ID` and `dry-breaker=ID` may be repeated. An empty text is plain sampling.
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
    try SamplingOptions().adding(text, names: &seen)
  }

  /// These options with those of a text, in the form of ``parse(_:)``, set anew.
  public func adding(_ text: String) throws(EngineError) -> SamplingOptions {
    var names = Set<String>()
    return try adding(text, names: &names)
  }

  private func adding(
    _ text: String, names seen: inout Set<String>
  ) throws(EngineError) -> SamplingOptions {
    var options = self
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
      if !seen.insert(key).inserted, !Self.repeatedOptionNames.contains(key) {
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
    case "dry-multiplier": dryMultiplier = try number(key, value)
    case "dry-base": dryBase = try number(key, value)
    case "dry-allowed-length": dryAllowedLength = try integer(key, value)
    case "dry-window": dryWindow = try integer(key, value)
    case "dry-breaker": dryBreakers.append(try token(key, value))
    case "suppress": suppressed.append(try token(key, value))
    case "first-temperature": firstTemperature = try number(key, value)
    case "dynamic-range": dynamicRange = try number(key, value)
    case "dynamic-exponent": dynamicExponent = try number(key, value)
    case "typical": typical = try number(key, value)
    case "epsilon": epsilon = try number(key, value)
    case "eta": eta = try number(key, value)
    case "tail-free": tailFree = try number(key, value)
    case "top-a": topA = try number(key, value)
    case "xtc-probability": xtcProbability = try number(key, value)
    case "xtc-threshold": xtcThreshold = try number(key, value)
    case "mirostat-tau": mirostatTau = try number(key, value)
    case "mirostat-rate": mirostatRate = try number(key, value)
    case "draw":
      guard let kind = Draw(rawValue: value) else {
        throw EngineError(
          .argument,
          "draw=\(value) is not known; known are "
            + Draw.allCases.map(\.rawValue).joined(separator: ", "))
      }
      draw = kind
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

  private func token(_ key: String, _ value: String) throws(EngineError) -> Token {
    guard let token = Token(value) else {
      throw EngineError(.argument, "\(key)=\(value): '\(value)' is not a token id")
    }
    return token
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
    func share(_ name: String, _ value: Float) throws(EngineError) {
      try require(value >= 0 && value <= 1, "\(name)=\(value) is out of range: 0 to 1")
    }
    func amount(_ name: String, _ value: Float) throws(EngineError) {
      try require(value >= 0 && value.isFinite, "\(name)=\(value) is out of range: 0 or more")
    }
    try amount("dry-multiplier", dryMultiplier)
    try require(
      dryBase >= 1 && dryBase.isFinite, "dry-base=\(dryBase) is out of range: 1 or more")
    try require(
      dryAllowedLength >= 1, "dry-allowed-length=\(dryAllowedLength) is out of range: 1 or more")
    try require(dryWindow >= 0, "dry-window=\(dryWindow) is out of range: 0 or more")
    if let firstTemperature {
      try require(
        firstTemperature > 0 && firstTemperature.isFinite,
        "first-temperature=\(firstTemperature) is out of range: above 0")
    }
    try amount("dynamic-range", dynamicRange)
    try amount("dynamic-exponent", dynamicExponent)
    try require(
      typical > 0 && typical <= 1, "typical=\(typical) is out of range: above 0, at most 1")
    try share("epsilon", epsilon)
    try share("eta", eta)
    try require(
      tailFree > 0 && tailFree <= 1, "tail-free=\(tailFree) is out of range: above 0, at most 1")
    try amount("top-a", topA)
    try share("xtc-probability", xtcProbability)
    try require(
      xtcThreshold > 0 && xtcThreshold <= 1,
      "xtc-threshold=\(xtcThreshold) is out of range: above 0, at most 1")
    if let mirostatTau {
      try require(
        mirostatTau > 0 && mirostatTau.isFinite,
        "mirostat-tau=\(mirostatTau) is out of range: above 0")
    }
    try amount("mirostat-rate", mirostatRate)
    for (name, tokens) in [("suppress", suppressed), ("dry-breaker", dryBreakers)] {
      for token in tokens {
        try require(
          token >= 0 && Int(token) < vocabularySize ?? Int.max,
          "\(name) names token \(token), outside the vocabulary"
            + (vocabularySize.map { " of \($0)" } ?? ""))
      }
    }
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
