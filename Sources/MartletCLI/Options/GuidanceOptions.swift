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
    try Guidance.choose(
      scale: guidance, negativePrompt: negativePrompt, klTemperature: klTemperature,
      contrast: contrast, greedy: greedy)
  }
}
