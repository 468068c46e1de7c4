import ArgumentParser
import Martlet

/// A second row of logits that steers every choice.
struct GuidanceOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Classifier-free guidance: how far choices move from what the model says after --negative-prompt \
      toward what it says after the prompt, and beyond above 1. Default: 1, which is off.
      """, valueName: "scale"))
  var guidance: Float?

  @Option(
    help: ArgumentHelp(
      """
      What --guidance moves away from and --kl-temperature compares with. Default: no prompt (with \
      --chat an empty message).
      """, valueName: "text"))
  var negativePrompt: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      KL-guided temperature: the divergence, in nats, of what the model says after the prompt from what \
      it says after --negative-prompt (the prompt without its context) at which the temperature halves.
      """, valueName: "scale"))
  var klTemperature: Float?

  @Option(
    help: ArgumentHelp(
      """
      Contrastive decoding against the model's first layers (exit=N) or a weaker model with the same \
      vocabulary (model=FILE), after strength=B (0.5) and plausibility=A (0.1) where given, separated \
      by commas.
      """, valueName: "exit=N|model=FILE"))
  var contrast: String?

  /// - Parameter greedy: whether the temperature is 0.
  func guidance(greedy: Bool) throws -> Guidance? {
    if let contrast {
      guard guidance == nil, negativePrompt == nil, klTemperature == nil else {
        throw CommandError(
          .usage,
          "--contrast excludes --guidance, --negative-prompt and --kl-temperature: a choice has one "
            + "second row; leave one of them out")
      }
      return try Guidance.parseContrast(contrast)
    }
    guard guidance != nil || klTemperature != nil else {
      guard negativePrompt == nil else {
        throw CommandError(
          .usage,
          "--negative-prompt does nothing without --guidance or --kl-temperature; add one of them")
      }
      return nil
    }
    if let klTemperature {
      guard klTemperature > 0 else {
        throw CommandError(
          .usage, "--kl-temperature \(klTemperature) is out of range; give a number above 0")
      }
      guard !greedy else {
        throw CommandError(
          .usage,
          "--kl-temperature does nothing at temperature 0; leave it out, or use --strategy sample")
      }
    }
    let chosen = Guidance(
      by: .text(negativePrompt ?? ""), scale: guidance ?? 1, divergenceScale: klTemperature ?? 0)
    try chosen.validate()
    return chosen
  }
}
