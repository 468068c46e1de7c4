import MartletModel

/// A second row of logits that steers every choice of a run: what the model says without the
/// condition, or what a weaker model says.
///
/// With l the branch's own row and r the second one, tokens are chosen from
/// `scale` · l + (1 − `scale`) · r, in place of l, by all rules of ``SamplingOptions``:
///
/// - Another prompt, `scale` = γ: classifier-free guidance. Source: "Stay on topic with
///   Classifier-Free Guidance".
/// - A weaker model, `scale` = 1 + β, with a `plausibility`: contrastive decoding. Source:
///   "Contrastive Decoding: Open-ended Text Generation as Optimization".
/// - The prompt without its context, `divergenceScale` = σ: the temperature is multiplied by
///   2^(−KL(l ‖ r) / σ). Source: "KL-Divergence Guided Temperature Sampling".
///
/// A second row costs a row of the same forward pass (another prompt), an output row of it (an early
/// exit), or a pass of the weaker model for all branches at once. It depends on the branch's own
/// tokens alone, so guided texts are as reproducible as others. At a `scale` of 1 without
/// `divergenceScale` nothing is computed, and texts are those without guidance.
public struct Guidance: Sendable, Equatable {
  /// Where the second row comes from.
  public enum Reference: Sendable, Equatable {
    /// The same model after another prompt, with the branch's generated tokens behind it. Text is
    /// tokenised as the run's prompt is; an empty one stands for no prompt: the token that begins a
    /// sequence where there is one, else the run's last prompt token, as the paper does.
    case text(String)
    case prompt([Token])
    /// The model's first layers alone after the branch's own tokens.
    case exit(layers: Int)
    /// A weaker model with the same vocabulary, a GGUF file; it has to be opened
    /// (`Session.opened(_:)`).
    case file(String)
    /// The same, opened.
    case model(AmateurModel)
  }

  /// Where the second row comes from.
  public var reference: Reference
  /// The weight of the branch's own row; the second one has 1 − `scale`. 1 is off.
  public var scale: Float
  /// Tokens less likely than this share of the likeliest one's probability, in the branch's own row,
  /// are never drawn. Has no effect at a `scale` of 1. 0 is off.
  public var plausibility: Float
  /// The divergence at which KL-guided temperature is halved, nats; 0 is off.
  public var divergenceScale: Float

  public init(
    by reference: Reference, scale: Float = 1, plausibility: Float = 0, divergenceScale: Float = 0
  ) {
    self.reference = reference
    self.scale = scale
    self.plausibility = plausibility
    self.divergenceScale = divergenceScale
  }

  /// Contrastive decoding of strength β against a weaker model.
  public static func contrast(
    with amateur: Reference, strength: Float = 0.5, plausibility: Float = 0.1
  ) -> Guidance {
    Guidance(by: amateur, scale: 1 + strength, plausibility: plausibility)
  }

  /// Whether a second row is needed.
  public var isOn: Bool { scale != 1 || divergenceScale > 0 }

  /// Throws ``EngineError/Code/argument`` for numbers out of range, naming them.
  public func validate() throws(EngineError) {
    func require(_ holds: Bool, _ text: @autoclosure () -> String) throws(EngineError) {
      if !holds { throw EngineError(.argument, text()) }
    }
    try require(
      scale.isFinite && abs(scale) <= 1000,
      "a guidance scale of \(scale) is out of range: -1000 to 1000 (1 is off)")
    try require(
      plausibility >= 0 && plausibility <= 1,
      "a guidance plausibility of \(plausibility) is out of range: 0 to 1")
    try require(
      divergenceScale >= 0 && divergenceScale.isFinite,
      "a KL-guided temperature of scale \(divergenceScale) is out of range: above 0 (0 is off)")
    if case .file(let path) = reference {
      throw EngineError(
        .argument,
        "guidance by \(path) has no model yet; open it with Session.opened(_:), or give .model")
    }
  }
}

extension Guidance {
  /// Contrastive decoding from text: `exit=LAYERS` or `model=FILE`, and before it, separated by
  /// commas, `strength=β` (0.5) and `plausibility=α` (0.1). A file's name extends to the end.
  ///
  /// Throws ``EngineError/Code/argument`` naming the part at fault.
  public static func parseContrast(_ text: String) throws(EngineError) -> Guidance {
    func refused(_ reason: String) -> EngineError {
      EngineError(.argument, "contrast '\(text)': \(reason)")
    }
    func number(_ value: Substring, _ name: String) throws(EngineError) -> Float {
      guard let number = Float(value), number >= 0, number.isFinite else {
        throw refused("\(name) takes a number of at least 0, not '\(value)'")
      }
      return number
    }
    var (strength, plausibility): (Float?, Float?)
    var rest = text[...]
    while true {
      let isFile = rest.hasPrefix("model=")
      let end = isFile ? rest.endIndex : rest.firstIndex(of: ",") ?? rest.endIndex
      let part = rest[..<end]
      guard let equals = part.firstIndex(of: "=") else {
        throw refused("'\(part)' is unknown; write exit=LAYERS or model=FILE")
      }
      let value = part[part.index(after: equals)...]
      let isLast = end == rest.endIndex
      var reference: Reference?
      switch part[..<equals] {
      case "strength" where strength == nil: strength = try number(value, "strength")
      case "plausibility" where plausibility == nil:
        plausibility = try number(value, "plausibility")
        guard plausibility! <= 1 else { throw refused("plausibility is \(value); at most 1") }
      case "exit":
        guard let layers = Int(value), layers >= 1 else {
          throw refused("exit takes the number of layers to use, 1 or more, not '\(value)'")
        }
        reference = .exit(layers: layers)
      case "model":
        guard !value.isEmpty else { throw refused("model names no file") }
        reference = .file(String(value))
      case "strength", "plausibility": throw refused("'\(part[..<equals])' is given twice")
      default:
        throw refused(
          "'\(part[..<equals])' is unknown; there are strength, plausibility, exit and model")
      }
      if let reference {
        guard isLast else { throw refused("'\(part)' comes last") }
        return .contrast(
          with: reference, strength: strength ?? 0.5, plausibility: plausibility ?? 0.1)
      }
      guard !isLast else { throw refused("name the weaker model: exit=LAYERS or model=FILE") }
      rest = rest[rest.index(after: end)...]
    }
  }
}
