import Foundation
import MartletModel

/// A ``DrawLog`` with the facts about its model, as files hold it.
public struct DrawDocument: Codable, Sendable {
  /// The backend's name and sizes; `maximumBatchTokens` is the engine's.
  public var name: String
  var vocabularySize: Int
  var contextLength: Int
  var pageTokens: Int
  var bytesPerPage: Int
  var maximumBatchTokens: Int
  var bos: Token?
  var ends: [Token]
  var pieces: [Piece]
  /// What steps cost, where the run had it measured.
  var steps: [CostCurve.Point]
  var draws: [Draw]
  var answers: [Answer]
  var encodings: [EncodedText]

  /// The bytes of a token; `special` where control tokens are written out differently.
  struct Piece: Codable, Sendable {
    var token: Token
    var bytes: [UInt8]
    var special: [UInt8]?
  }

  /// A draw and its key in hexadecimal digits: JSON readers may round a 64-bit number.
  struct Draw: Codable, Sendable {
    var key: String
    var draw: DrawLog.Draw
  }

  /// An answer about a next token and its key.
  struct Answer: Codable, Sendable {
    var key: String
    var entropy: Float
    var gap: Float?
    var top: [Token]
    var topLogprobs: [Float]
    /// Nil stands for −∞, which JSON lacks.
    var logprobs: [Float?]
  }

  struct EncodedText: Codable, Sendable {
    var text: DrawLog.Encoding
    var tokens: [Token]
  }

  /// What a log holds by now of runs on an engine.
  public init(_ log: DrawLog, of engine: Engine) {
    let (backend, codec) = (engine.backend, engine.tokenizer)
    name = backend.name
    vocabularySize = backend.vocabularySize
    contextLength = engine.contextLength
    pageTokens = backend.pageTokens
    bytesPerPage = backend.bytesPerPage
    maximumBatchTokens = engine.core.maximumBatch
    bos = codec.bosToken
    ends = codec.endOfGenerationTokens.sorted()
    let curve = engine.costs.known(engine.core)
    steps =
      curve.map { curve in
        CostCurve.measuredWidths.filter { $0 <= engine.core.maximumBatch }
          .map { CostCurve.Point(width: $0, seconds: curve.seconds($0)) }
      } ?? []
    let contents = log.contents
    draws = contents.draws.sorted { $0.key < $1.key }
      .map { Draw(key: String($0.key, radix: 16), draw: $0.value) }
    answers = contents.answers.sorted { $0.key < $1.key }
      .map { Answer(key: String($0.key, radix: 16), $0.value) }
    encodings = contents.encodings.sorted { $0.key.text < $1.key.text }
      .map { EncodedText(text: $0.key, tokens: $0.value) }
    var tokens = Set(draws.compactMap(\.draw.token))
    for text in encodings { tokens.formUnion(text.tokens) }
    for answer in answers { tokens.formUnion(answer.top) }
    pieces = tokens.sorted().map { token in
      let plain = codec.bytes(of: token, renderSpecial: false)
      let special = codec.bytes(of: token, renderSpecial: true)
      return Piece(token: token, bytes: plain, special: special == plain ? nil : special)
    }
  }

  /// The log again.
  func log() throws(EngineError) -> DrawLog {
    func require(_ holds: Bool, _ what: String) throws(EngineError) {
      if !holds { throw EngineError(.data, "the record of '\(name)' is damaged: \(what)") }
    }
    func number(_ key: String) throws(EngineError) -> UInt64 {
      guard let number = UInt64(key, radix: 16) else {
        throw EngineError(.data, "the record of '\(name)' is damaged: '\(key)' is no key")
      }
      return number
    }
    try require(vocabularySize > 0, "it has no vocabulary")
    let sizes = 1...(1 << 31)
    try require(
      [vocabularySize, contextLength, pageTokens, bytesPerPage, maximumBatchTokens]
        .allSatisfy(sizes.contains), "a size is out of range")
    let known = 0..<Token(clamping: vocabularySize)
    var found: [UInt64: DrawLog.Draw] = [:]
    for entry in draws {
      try require(
        entry.draw.token.map(known.contains) ?? true, "a token is outside its vocabulary")
      found[try number(entry.key)] = entry.draw
    }
    var said: [UInt64: NextToken] = [:]
    for entry in answers {
      try require(entry.top.count == entry.topLogprobs.count, "an answer has no log-probabilities")
      said[try number(entry.key)] = entry.answer
    }
    var texts: [DrawLog.Encoding: [Token]] = [:]
    for entry in encodings {
      try require(entry.tokens.allSatisfy(known.contains), "a token is outside its vocabulary")
      texts[entry.text] = entry.tokens
    }
    return DrawLog(draws: found, answers: said, encodings: texts)
  }
}

extension DrawDocument.Answer {
  init(key: String, _ answer: NextToken) {
    self.key = key
    entropy = answer.entropy
    gap = answer.gap.isFinite ? answer.gap : nil
    top = answer.top.map(\.token)
    topLogprobs = answer.top.map(\.logprob)
    logprobs = answer.logprobs.map { $0.isFinite ? $0 : nil }
  }

  var answer: NextToken {
    NextToken(
      entropy: entropy, gap: gap ?? .infinity,
      top: zip(top, topLogprobs).map { NextToken.Choice(token: $0, logprob: $1) },
      logprobs: logprobs.map { $0 ?? -.infinity })
  }
}
