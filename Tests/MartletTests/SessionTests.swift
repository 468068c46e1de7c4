import Martlet
import Testing

/// The embedded model, opened and run as a user would.
@Suite struct SessionTests {
  @Test func opensTheEmbeddedModelAndAnswers() async throws {
    let session = try Session()
    let result = try await session.run("calc 17 +4?", strategy: "greedy")
    #expect(result.text.contains("#"))
    #expect(result.usage.generatedTokens > 0)
    #expect(session.engine.pagesInUse == 0)
  }

  @Test func aMissingModelFileIsAnErrorThatNamesIt() {
    #expect {
      try Session(Session.Configuration(modelPath: "/nonexistent/model.gguf"))
    } throws: { error in
      "\(error)".contains("/nonexistent/model.gguf")
    }
  }
}
