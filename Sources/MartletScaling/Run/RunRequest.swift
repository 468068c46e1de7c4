public import MartletEngine

/// What to run: a prompt, a strategy with its options, and limits.
public struct RunRequest: Sendable {
  /// What the user asks. Scorers see this text.
  public var prompt: String
  /// What the model is shown when it differs: the prompt inside a chat template.
  public var renderedPrompt: String?
  /// Whether the model's begin token is added where the model wants one.
  public var addSpecial = true
  /// Whether control tokens written out in the prompt are read as such; chat templates need it.
  public var parseSpecial = false
  /// The strategy's id.
  public var strategy: String
  /// The strategy's options that differ from their defaults.
  public var options: [String: String] = [:]
  /// The scorer's id; nil for the first of the defaults that can judge the prompt.
  public var scorer: String?
  /// Judges in place of any scorer: the caller's own function, called from any thread. Higher is
  /// better, and finite.
  public var judge: (@Sendable (JudgedText) -> Double)?
  /// The scorer's options.
  public var scorerOptions: [String: String] = [:]
  /// The extractor's id; nil for the default.
  public var extractor: String?
  /// The extractor's options.
  public var extractorOptions: [String: String] = [:]
  /// The id of a sampler, which changes logits before ``sampling``'s rules; nil for none.
  public var sampler: String?
  /// The sampler's options.
  public var samplerOptions: [String: String] = [:]
  /// The id of a memory, which strategies may ask for what earlier runs left; nil for none.
  public var memory: String?
  /// The memory's options.
  public var memoryOptions: [String: String] = [:]
  /// What a recorded run was told by its memory, in place of one.
  var recordedMemory: RecordedMemory?
  /// What the run may use.
  public var budget = Budget()
  /// How tokens are chosen. `greedy` ignores the temperature.
  public var sampling = SamplingOptions()
  /// What ends branches.
  public var stops = StopRules()
  /// What the generated text of every branch must be, whatever the strategy; nil for anything.
  public var constraint: Constraint?
  /// Where guesses at coming tokens are taken from; no text depends on it.
  public var drafting = Drafting.off
  /// A second row of logits that steers every choice; nil for none. Its text is tokenised as the
  /// prompt is.
  public var guidance: Guidance?
  /// The seed of every random draw.
  public var seed: UInt64 = 0

  /// A prompt for a strategy.
  public init(prompt: String, strategy: String = BuiltInStrategy.greedy.rawValue) {
    self.prompt = prompt
    self.strategy = strategy
  }

  /// Adds options written as `name=value`. Those of the scorer, the extractor, the sampler and the
  /// memory are written `scorer.name=value`, `extractor.name=value` and so on.
  /// - Throws: `option` for a text without `=`, or for an option given twice.
  public mutating func set(_ assignments: [String]) throws(ScalingError) {
    for assignment in assignments {
      let (name, value) = try Self.option(assignment)
      let previous: String?
      if name.hasPrefix("scorer.") {
        previous = scorerOptions.updateValue(value, forKey: String(name.dropFirst("scorer.".count)))
      } else if name.hasPrefix("extractor.") {
        previous = extractorOptions.updateValue(
          value, forKey: String(name.dropFirst("extractor.".count)))
      } else if name.hasPrefix("sampler.") {
        previous = samplerOptions.updateValue(
          value, forKey: String(name.dropFirst("sampler.".count)))
      } else if name.hasPrefix("memory.") {
        previous = memoryOptions.updateValue(value, forKey: String(name.dropFirst("memory.".count)))
      } else {
        previous = options.updateValue(value, forKey: name)
      }
      if previous != nil { throw ScalingError(.option, "option '\(name)' is given twice") }
    }
  }

  /// An option written as `name=value`.
  /// - Throws: `option` for a text of another form.
  package static func option(
    _ assignment: String
  ) throws(ScalingError) -> (name: String, value: String) {
    let pair = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      .map(String.init)
    guard pair.count == 2, !pair[0].isEmpty else {
      throw ScalingError(.option, "option '\(assignment)' is not of the form name=value")
    }
    return (pair[0], pair[1])
  }

  /// Wraps the prompt, and the text that guides it, as a user's message in a model's chat template.
  /// - Parameter name: what errors call the model.
  /// - Throws: `argument` for a model without one, and what rendering throws.
  package mutating func renderAsChat(of model: ModelSurroundings, named name: String) throws {
    guard let chat = model.chat else {
      throw ScalingError(
        .argument,
        "\(name) has no chat template (tokenizer.chat_template); run without --chat")
    }
    let rendered = try chat(prompt)
    renderedPrompt = rendered.text
    addSpecial = rendered.addSpecial
    parseSpecial = rendered.parseSpecial
    if case .text(let other) = guidance?.reference {
      guidance?.reference = .text(try chat(other).text)
    }
  }
}

/// Components that suit a model, used where the user names none.
public struct ModelDefaults: Sendable, Equatable, Codable {
  /// Scorers to try before the strategy's own defaults.
  public var scorers: [String]
  /// The extractor; nil for the strategy's own default.
  public var extractor: String?
  /// Values of options that suit the model, by name: used by every component that declares an option
  /// of that name and is not given it. `step` is what ends a step of the model's reasoning.
  public var options: [String: String]

  /// Defaults of a model; by default the strategy decides.
  public init(
    scorers: [String] = [], extractor: String? = nil, options: [String: String] = [:]
  ) {
    self.scorers = scorers
    self.extractor = extractor
    self.options = options
  }
}
