import MartletEngine

/// A recorded run as its trace file holds it, under `otherData.replay`.
struct ReplayDocument: Codable, Sendable {
  /// The version of this object.
  static let schema = 1

  var schema = Self.schema
  /// Why the run cannot be replayed; nil if it can.
  var obstacle: String?
  var request: Request
  /// The model's name in results.
  var name: String
  var parameters: Int
  var hasChat: Bool
  /// What its tokens attended to.
  var attention: String?
  var defaults: ModelDefaults
  var kvBytesLimit: Int?
  var model: DrawDocument?
  var others: [OtherModel] = []
  var chats: [Chat] = []
  /// What the caller's own judge said of texts.
  var judgements: [String: Double] = [:]
  /// What its memory was told and told; nil for a run without one.
  var memory: RecordedMemory.Document?

  /// What was asked for.
  struct Request: Codable, Sendable {
    var prompt: String
    var renderedPrompt: String?
    var addSpecial: Bool
    var parseSpecial: Bool
    var strategy: String
    var options: [String: String]
    var scorer: String?
    var scorerOptions: [String: String]
    var extractor: String?
    var extractorOptions: [String: String]
    var sampler: String?
    var samplerOptions: [String: String]
    var memory: String?
    var budget: Budget
    var sampling: SamplingOptions
    var stops: StopRules
    var hasJudge: Bool
    /// In digits: JSON readers may round a 64-bit number.
    var seed: String
  }

  /// Another model and what it said.
  struct OtherModel: Codable, Sendable {
    var name: String
    var parameters: Int
    var hasChat: Bool
    var said: DrawDocument
  }

  /// A message in a model's chat format; the run's own model has no name.
  struct Chat: Codable, Sendable {
    var model: String
    var message: String
    var text: String
    var addSpecial: Bool
    var parseSpecial: Bool

    init(model: String, message: String, _ rendered: RenderedPrompt) {
      (self.model, self.message) = (model, message)
      (text, addSpecial, parseSpecial) = (
        rendered.text, rendered.addSpecial, rendered.parseSpecial
      )
    }

    var rendered: RenderedPrompt {
      RenderedPrompt(text: text, addSpecial: addSpecial, parseSpecial: parseSpecial)
    }
  }

  init(_ request: RunRequest, _ session: ScalingSession) {
    self.request = Request(
      prompt: request.prompt, renderedPrompt: request.renderedPrompt,
      addSpecial: request.addSpecial, parseSpecial: request.parseSpecial,
      strategy: request.strategy, options: request.options, scorer: request.scorer,
      scorerOptions: request.scorerOptions, extractor: request.extractor,
      extractorOptions: request.extractorOptions, sampler: request.sampler,
      samplerOptions: request.samplerOptions, memory: request.memory, budget: request.budget,
      sampling: request.sampling, stops: request.stops, hasJudge: request.judge != nil,
      seed: String(request.seed))
    name = session.model
    parameters = session.surroundings.parameters
    hasChat = session.surroundings.chat != nil
    attention = session.surroundings.attention
    defaults = session.defaults
    kvBytesLimit = session.kvBytesLimit
  }
}

extension ReplayDocument.Request {
  /// The request again, without what only a model needs: drafts, a constraint, guidance. A time limit is left out,
  /// since a replay takes none: it ends where the recorded run was stopped.
  func again(judge: (@Sendable (JudgedText) -> Double)?) throws(ScalingError) -> RunRequest {
    guard let seed = UInt64(seed) else {
      throw ScalingError(.file, "the recorded seed '\(seed)' is no number")
    }
    var request = RunRequest(prompt: prompt, strategy: strategy)
    request.renderedPrompt = renderedPrompt
    request.addSpecial = addSpecial
    request.parseSpecial = parseSpecial
    request.options = options
    request.scorer = scorer
    request.scorerOptions = scorerOptions
    request.extractor = extractor
    request.extractorOptions = extractorOptions
    request.sampler = sampler
    request.samplerOptions = samplerOptions
    request.memory = memory
    request.budget = budget
    request.budget.seconds = nil
    request.sampling = sampling
    request.stops = stops
    request.seed = seed
    if hasJudge { request.judge = judge }
    return request
  }
}
