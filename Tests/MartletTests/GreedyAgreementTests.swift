import Foundation
import Martlet
import Testing

/// The embedded model's greedy text is what llama.cpp gives for the same file
/// (`Benchmarks/Golden/greedy_agreement.py` makes the fixture).
@Suite struct GreedyAgreementTests {
  private struct Case: Decodable {
    let prompt: String
    let text: String
  }

  @Test func greedyTextIsLlamaCppsOnHeldOutProblems() async throws {
    let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("greedy.json")
    let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: fixture))
    #expect(cases.count == 50)
    let session = try Session()
    for item in cases {
      let result = try await session.run(item.prompt)
      #expect(result.text == item.text, "\(item.prompt)")
    }
  }
}
