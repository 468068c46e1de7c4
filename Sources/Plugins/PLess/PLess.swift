import Foundation
import MartletPlugin

/// p-less: keeps the tokens that are at least as likely as two draws are to agree, the sum of the squared
/// probabilities, without a threshold to choose. It keeps few tokens where the model is sure, many where it
/// is not, and always the most likely one.
///
/// The probabilities are those at `temperature`; draw at the same one (`--sampling temperature=…`), as the
/// paper does. Two passes over the row.
///
/// Paper: p-less Sampling: A Robust Hyperparameter-free Approach for LLM Decoding (Tan et al., 2025).
struct PLess: Sampler {
  static let id = "p-less"

  private let temperature: Double

  init(_ component: ComponentContext) throws {
    temperature = try component.number("temperature")
  }

  func process(_ logits: inout MutableSpan<Float>, for choice: SamplingChoice) {
    Self.truncate(&logits, temperature: temperature)
  }

  static func truncate(_ logits: inout MutableSpan<Float>, temperature: Double) {
    var largest = -Float.infinity
    for index in logits.indices { largest = max(largest, logits[index]) }
    guard largest.isFinite else { return }
    var (sum, squares) = (0.0, 0.0)
    for index in logits.indices {
      let weight = exp(Double(logits[index] - largest) / temperature)
      sum += weight
      squares += weight * weight
    }
    // weight / sum >= squares / sum², in the logits' own measure; the largest has weight 1 and stays.
    let least = Double(largest) + temperature * log(squares / sum)
    for index in logits.indices where Double(logits[index]) < least && logits[index] < largest {
      logits[index] = -.infinity
    }
  }
}
