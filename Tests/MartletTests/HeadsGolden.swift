import Foundation
import Martlet
import Testing

/// Heads trained for the embedded model, two small untrained ones of other shapes, and what PyTorch
/// makes of a text with each (`Benchmarks/Model/evaluate_heads.py --golden`).
struct HeadsGolden: Decodable {
  struct Eagle: Decodable {
    /// The feature made by the last row.
    let features: [Float]
    /// Of every row.
    let logits: [[Float]]
    /// The likeliest token after the last row, and the logits after it.
    let drafted: Token
    let chained: [Float]
  }

  /// One more than there are features.
  let tokens: [Token]
  let features: [[Float]]
  let prompts: [String]
  let medusa: [String: [[[Float]]]]
  let eagle: [String: Eagle]

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures/heads")
  static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  static func read() throws -> HeadsGolden {
    try JSONDecoder().decode(
      HeadsGolden.self, from: Data(contentsOf: folder.appendingPathComponent("golden.json")))
  }

  /// The features as a matrix, with `rows` rows of room.
  func featureMatrix() throws -> FloatMatrix {
    let matrix = try FloatMatrix(rows: features.count, columns: features[0].count)
    for (row, values) in features.enumerated() { matrix.setRow(row, values) }
    return matrix
  }
}

/// The greatest difference between two rows; infinite where one is no number.
func worstDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).map { abs($0 - $1) }.reduce(0) { $1.isFinite ? max($0, $1) : .infinity }
}
