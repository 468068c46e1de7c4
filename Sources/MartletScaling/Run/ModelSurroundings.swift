public import MartletEngine

/// A prompt in the form in which a model is shown it.
public struct RenderedPrompt: Sendable, Equatable {
  /// The text.
  public var text: String
  /// Whether the model's begin token is added where the model wants one.
  public var addSpecial: Bool
  /// Whether control tokens written out in the text are read as such; chat formats need it.
  public var parseSpecial: Bool

  /// A text as it stands, or in a model's own form.
  public init(text: String, addSpecial: Bool = true, parseSpecial: Bool = false) {
    self.text = text
    self.addSpecial = addSpecial
    self.parseSpecial = parseSpecial
  }
}

/// What a model is besides its engine: what strategies and scorers ask about.
public struct ModelSurroundings: Sendable {
  /// Writes a user's message in the model's chat format; nil for a model without one.
  public var chat: (@Sendable (String) throws -> RenderedPrompt)?
  /// How many parameters the model has; 0 where nobody knows.
  public var parameters: Int
  /// What generated tokens attend to, in the words of `--attention` and with everything that a session
  /// chose for itself, so that a run can be repeated from its result; nil where nobody knows.
  public var attention: String?
  /// Opens another model by path or name, once per process; nil where that cannot be done.
  public var open: (@Sendable (String) throws(ScalingError) -> OpenedModel)?

  /// What is known; by default nothing.
  public init(
    chat: (@Sendable (String) throws -> RenderedPrompt)? = nil, parameters: Int = 0,
    open: (@Sendable (String) throws(ScalingError) -> OpenedModel)? = nil
  ) {
    self.chat = chat
    self.parameters = parameters
    self.open = open
  }

  /// Operations for each token: two for each parameter.
  var flopsPerToken: Double { 2 * Double(parameters) }

  /// The tokens of a prompt.
  /// - Parameter asChat: as a user's message, where the model has a chat format.
  func tokens(
    of text: String, asChat: Bool, in run: Run
  ) throws(ScalingError) -> [Int32] {
    var prompt = RenderedPrompt(text: text)
    if asChat, let chat {
      do { prompt = try chat(text) } catch {
        throw ScalingError(.argument, "the model's chat format cannot write the prompt: \(error)")
      }
    }
    return run.encode(
      prompt.text, addSpecial: prompt.addSpecial, parseSpecial: prompt.parseSpecial)
  }
}

/// Another model that was opened for scorers.
public struct OpenedModel: Sendable {
  /// Its own engine.
  public let engine: Engine
  /// Its chat format and size.
  public let surroundings: ModelSurroundings

  /// A model and its engine, which the session keeps.
  public init(engine: Engine, surroundings: ModelSurroundings) {
    self.engine = engine
    self.surroundings = surroundings
  }
}
