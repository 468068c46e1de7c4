import CMartlet
import Foundation
import Martlet
import MartletScaling

/// What `martlet_request` asks for, before the model has a say in it.
struct RequestOptions {
  /// What to run; drafts, guidance and chat format are the engine's to complete.
  var request: RunRequest
  /// Whether the prompt is a user's message, to be wrapped in the model's chat template.
  let isChat: Bool

  init(prompt: String, options: UnsafePointer<CChar>?) throws {
    guard !prompt.isEmpty else {
      throw Failure(
        MARTLET_E_ARGUMENT,
        "the prompt is empty; set prompt_length to its bytes or to MARTLET_NUL_TERMINATED")
    }
    var json = try OptionsJSON(options, what: "request options")
    request = try RunRequest(
      prompt: prompt, strategy: json.fields.optionalText("strategy"),
      sampling: json.fields.optionalText("sampling"))
    isChat = try json.fields.flag("chat")
    try request.set(json.fields.assignments("set"))
    request.scorer = try json.fields.optionalText("scorer")
    request.extractor = try json.fields.optionalText("extractor")
    request.sampler = try json.fields.optionalText("sampler")
    request.memory = try json.fields.optionalText("memory")
    request.seed = try json.seed()
    let budget = try json.fields.assignments("budget").joined(separator: ",")
    if !budget.isEmpty { request.budget = try Budget(parsing: budget) }
    request.stops.maxTokens = try json.fields.optionalInteger(
      "max-tokens", in: 1...Int64(Int32.max)
    ).map { Int($0) }
    request.stops.stopStrings = try json.fields.textOrTexts("stop")
    request.drafting = try json.drafting()
    request.guidance = try json.guidance(greedy: request.isGreedy)
    request.constraint = try json.constraint()
    try json.finish()
  }
}

extension OptionsJSON {
  fileprivate mutating func seed() throws -> UInt64 {
    guard let text = try fields.scalar("seed") else { return 0 }
    guard let seed = UInt64(text) else {
      throw fields.failure(
        "seed",
        "is \(text); give a whole number of at least 0, as a text from 2^63 on")
    }
    return seed
  }

  fileprivate mutating func drafting() throws -> Drafting {
    var drafting = try fields.optionalText("draft").map { try Drafting.parse($0) } ?? .off
    if let verify = try fields.optionalText("verify") {
      guard drafting.isOn else {
        throw fields.failure("verify", "does nothing without 'draft'; say where guesses come from")
      }
      drafting.verifier = try Verifier.parse(verify)
    }
    return drafting
  }

  fileprivate mutating func guidance(greedy: Bool) throws -> Guidance? {
    try Guidance.choose(
      scale: fields.optionalNumber("guidance").map { Float($0) },
      negativePrompt: fields.optionalText("negative-prompt"),
      klTemperature: fields.optionalNumber("kl-temperature").map { Float($0) },
      contrast: fields.optionalText("contrast"), greedy: greedy)
  }

  fileprivate mutating func constraint() throws -> Constraint? {
    try Constraint.choose(
      regex: fields.optionalText("regex"), jsonSchema: fields.optionalText("json-schema"),
      whitespace: choice(
        "json-whitespace", { ["flexible": JSONWhitespace.flexible, "compact": .compact][$0] },
        known: ["flexible", "compact"]))
  }
}
