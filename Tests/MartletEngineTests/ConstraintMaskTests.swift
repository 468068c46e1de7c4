import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Constraints: masks", .serialized)
struct ConstraintMaskTests {
  /// Regular expressions and schemas, as constraints.
  static func constraint(_ index: Int) throws -> Constraint {
    let patterns = [
      "[^\"\\\\]*", "(é|日|name){1,9}", ".{0,7}", "[a-z 0-9]{3}(true|null)+", "(a|b)*[^a]",
    ]
    return index < patterns.count
      ? try .regex(patterns[index])
      : try .jsonSchema(ConstraintSchemaTests.schemas[index - patterns.count])
  }
  static let count = 5 + ConstraintSchemaTests.schemas.count

  @Test("a token is allowed exactly when its bytes go on with a live text", arguments: 0..<count)
  func bruteForce(index: Int) async throws {
    let constraint = try Self.constraint(index)
    let codec = PieceCodec.mixed(count: 700, seed: UInt64(index))
    let tokens = try TokenConstraint(constraint, codec: codec)
    var random = TestRandom(seed: UInt64(index) &+ 9)
    var places = 0
    for _ in 0..<6 {
      await Task.yield()
      _ = try randomText(tokens, codec, &random) { text, mask in
        places += 1
        guard places % 4 == 0, places < 60 else { return }
        for token in 0..<codec.end {
          let expected = constraint.allows(prefix: text + codec.pieces[Int(token)])
          if mask.allows(token) != expected {
            Issue.record(
              "\(constraint), after \(text): token \(token), \(codec.pieces[Int(token)])")
          }
        }
        #expect(mask.allows(codec.end) == constraint.accepts(text))
        #expect(mask.words.count == (codec.vocabularySize + 63) / 64)
        #expect(mask.count == mask.tokens.count)
      }
    }
    #expect(places > 5)
  }

  @Test("no random walk comes to a dead end where the vocabulary lacks bytes")
  func incompleteVocabulary() throws {
    // No single letter but 'x': words must be spelled by pairs.
    let codec = PieceCodec(pieces: ["ab", "cd", "abc", "dx", "x", "é"].map { Array($0.utf8) })
    let constraint = try Constraint.regex("(ab|abc|cd|d|c|x|é)*abcdx")
    let tokens = try TokenConstraint(constraint, codec: codec)
    var random = TestRandom(seed: 3)
    for _ in 0..<300 {
      var state = tokens.makeState()
      var text: [UInt8] = []
      for _ in 0..<400 {
        let mask = try tokens.mask(of: &state)
        // The way out is taken where it is open, so that every walk ends.
        let token = mask.allows(codec.end) ? codec.end : mask.tokens.randomElement(using: &random)!
        guard token != codec.end else { break }
        #expect(tokens.advance(&state, by: token))
        text += codec.pieces[Int(token)]
      }
      #expect(constraint.accepts(text), "\(String(decoding: text, as: UTF8.self))")
    }
    // After "abc", 'd' can only come in "dx": "abcd" then "x" is spelled abc + dx or ab + cd + x.
    let odd = try TokenConstraint(Constraint.regex("abcd"), codec: codec)
    var state = odd.makeState()
    #expect(try odd.mask(of: &state).tokens == [0])
    let error = engineError {
      try TokenConstraint(Constraint.regex("abq?c"), codec: PieceCodec(pieces: [[0x61], [0x63]]))
    }
    #expect(error?.message.contains("'b'") ?? false, "\(error?.message ?? "no error")")
  }

  @Test("states are copied, cut and gone on with, and forgotten places are found again")
  func states() throws {
    let codec = PieceCodec.mixed(count: 600, seed: 8)
    let constraint = try Constraint.jsonSchema("true")
    let roomy = try TokenConstraint(constraint, codec: codec)
    // So little memory that everything is forgotten all the time.
    let tight = try TokenConstraint(constraint, codec: codec, memoryLimit: 2_000)
    var random = TestRandom(seed: 77)
    for _ in 0..<20 {
      var (a, b) = (roomy.makeState(), tight.makeState())
      var history: [(ConstraintState, TokenMask)] = []
      for _ in 0..<60 {
        let mask = try roomy.mask(of: &a)
        #expect(try tight.mask(of: &b) == mask)
        #expect(roomy.forcedToken(after: &a) == tight.forcedToken(after: &b))
        history.append((a, mask))
        let token = mask.tokens.randomElement(using: &random)!
        if token == codec.end { break }
        #expect(roomy.advance(&a, by: token) && tight.advance(&b, by: token))
        // Forwards and back again.
        if random.uniform() < 0.2 {
          let back = Int.random(in: 0...a.count, using: &random)
          a.truncate(to: back)
          b.truncate(to: back)
          history.removeLast(history.count - back)
          #expect(a.count == back)
        }
      }
      for (i, kept) in history.enumerated() {
        var copy = kept.0
        #expect(copy.count == i)
        #expect(try roomy.mask(of: &copy) == kept.1)
      }
    }
    #expect(tight.usage.places < 2_000)
    #expect(tight.usage.masks < roomy.usage.masks)
  }

  @Test("what must come is spelled as the tokenizer spells it, and ends with the text")
  func forced() throws {
    let codec = PieceCodec.mixed(count: 600, seed: 8)
    let schema = #"{"properties":{"name":{"const":"true"}},"required":["name"]}"#
    let constraint = try TokenConstraint(
      Constraint.jsonSchema(schema, whitespace: .compact), codec: codec)
    var state = constraint.makeState()
    var text: [UInt8] = []
    while let token = constraint.forcedToken(after: &state) {
      #expect(try constraint.mask(of: &state).allows(token))
      #expect(constraint.advance(&state, by: token))
      if token == codec.end { break }
      text += codec.pieces[Int(token)]
    }
    #expect(String(decoding: text, as: UTF8.self) == #"{"name":"true"}"#)
    #expect(constraint.isComplete(&state))
    // Where the model has a choice, nothing is forced; the boundary before it is left open too.
    let open = try TokenConstraint(Constraint.regex("ab[xy]"), codec: codec)
    var start = open.makeState()
    if let token = open.forcedToken(after: &start) { #expect(codec.pieces[Int(token)] == [0x61]) }
    try open.append([0x61, 0x62], to: &start)
    #expect(open.forcedToken(after: &start) == nil)
  }

  @Test("text that breaks a constraint is refused at its offset, and nothing changes")
  func appending() throws {
    let codec = ByteCodec()
    let constraint = try TokenConstraint(Constraint.regex("[a-c]+-é"), codec: codec)
    var state = constraint.makeState()
    try constraint.append(Array("ab".utf8).map(Int32.init), to: &state)
    let error = engineError {
      try constraint.append(Array("c-x".utf8).map(Int32.init), to: &state)
    }
    #expect(error?.message.contains("byte 2") ?? false, "\(error?.message ?? "no error")")
    #expect(error?.message.contains("'x'") ?? false)
    #expect(error?.message.contains("0xC3") ?? false)
    #expect(state.count == 2)
    #expect(!constraint.advance(&state, by: codec.end))
    try constraint.append(Array("-é".utf8).map(Int32.init), to: &state)
    #expect(constraint.mayEnd(&state) && constraint.isComplete(&state))
    #expect(try constraint.mask(of: &state).tokens == [codec.end])
    #expect(constraint.forcedToken(after: &state) == codec.end)
  }
}
