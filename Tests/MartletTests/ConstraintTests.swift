import Martlet
import Testing

/// Constraints on the model that comes with the repository, whose vocabulary is 46 single characters.
@Suite struct ConstraintTests {
  @Test func everyStrategyKeepsTheConstraint() async throws {
    let session = try Session()
    let constraint = try Constraint.regex("[0-9]{1,3}( [0-9]{1,3}){2}= #[0-9]")
    var request = RunRequest(
      prompt: "make 46 from 3 7 25?", strategy: BuiltInStrategy.sample.rawValue)
    request.constraint = constraint
    request.sampling = Session.defaultSampling
    for seed in 0..<4 {
      request.seed = UInt64(seed)
      let result = try await session.scaling.run(request)
      #expect(constraint.accepts(result.text.utf8), "\(result.text)")
      #expect(result.usage.forcedTokens > 0)
    }
  }

  @Test func masksOfTheTokenizerAreExact() throws {
    let tokenizer = try Session().tokenizer
    let constraint = try Constraint.regex("(ab|a[^b]|[0-9]+ ?=)*")
    let tokens = try TokenConstraint(constraint, codec: tokenizer)
    var state = tokens.makeState()
    var text: [UInt8] = []
    for step in 0..<40 {
      let mask = try tokens.mask(of: &state)
      for token in 0..<Int32(tokenizer.vocabularySize) {
        let bytes = tokenizer.bytes(of: token)
        let expected =
          tokenizer.endOfGenerationTokens.contains(token)
          ? constraint.accepts(text) : !bytes.isEmpty && constraint.allows(prefix: text + bytes)
        #expect(mask.allows(token) == expected, "after \(text), token \(token)")
      }
      let choices = mask.tokens.filter { !tokenizer.endOfGenerationTokens.contains($0) }
      let token = choices[step * 7 % choices.count]
      #expect(tokens.advance(&state, by: token))
      text += tokenizer.bytes(of: token)
    }
  }
}
