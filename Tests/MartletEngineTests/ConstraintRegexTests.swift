import Foundation
import MartletEngine
import MartletSimulation
import Testing

@Suite("Constraints: regular expressions", .serialized)
struct ConstraintRegexTests {
  /// A random expression in the common part of both dialects. What may be empty is not repeated:
  /// backtracking engines end a loop at an empty turn and then miss texts of the language.
  static func pattern(_ random: inout TestRandom, depth: Int) -> (text: String, mayBeEmpty: Bool) {
    let atoms = [
      "a", "b", "c", "0", "é", "日", "😀", "[ab]", "[^a]", "[a-c0-3]", "[à-ü]", "[^\\d]", "\\d",
      "\\w",
      ".", "\\x61", "\\u65e5", "[\\w-]", "\\.", " ",
    ]
    let quantifiers = [
      ("", 2), ("", 2), ("*", 0), ("+", 1), ("?", 0), ("{2}", 1), ("{0,2}", 0), ("{1,3}", 1),
      ("{1,}", 1), ("*?", 0),
    ]
    func quantified(_ text: String) -> (text: String, mayBeEmpty: Bool) {
      let (quantifier, least) = quantifiers.randomElement(using: &random)!
      return (text + quantifier, least == 0)
    }
    guard depth > 0 else { return quantified(atoms.randomElement(using: &random)!) }
    var result = (text: "", mayBeEmpty: true)
    for _ in 0...Int.random(in: 0..<3, using: &random) {
      var part = pattern(&random, depth: depth - 1)
      if random.uniform() < 0.5 {
        let other = pattern(&random, depth: depth - 1)
        part = ("(\(part.text)|\(other.text))", part.mayBeEmpty || other.mayBeEmpty)
        if !part.mayBeEmpty { part = quantified(part.text) }
      }
      result = (result.text + part.text, result.mayBeEmpty && part.mayBeEmpty)
    }
    return result
  }

  static func text(_ random: inout TestRandom) -> String {
    let characters = ["a", "b", "c", "d", "0", "3", "9", "é", "ü", "日", "😀", ".", "-", " ", "_"]
    let length = Int.random(in: 0..<6, using: &random)
    return (0..<length).map { _ in characters.randomElement(using: &random)! }.joined()
  }

  /// The same expression for ICU, whose `\\w` and `\\d` know more than ASCII.
  static func forICU(_ pattern: String) throws -> NSRegularExpression {
    let ascii = pattern.replacing("[^\\d]", with: "[^0-9]").replacing(
      "[\\w-]", with: "[A-Za-z0-9_-]"
    )
    .replacing("\\w", with: "[A-Za-z0-9_]").replacing("\\d", with: "[0-9]")
    return try NSRegularExpression(pattern: "\\A(?:\(ascii))\\z")
  }

  @Test("1,000 random expressions match as ICU's do", arguments: 0..<10)
  func differential(part: Int) async throws {
    var random = TestRandom(seed: UInt64(part) &* 1_000_003 &+ 17)
    let codec = ByteCodec()
    var matched = 0
    var tried = 0
    for _ in 0..<100 {
      await Task.yield()
      let pattern = Self.pattern(&random, depth: 1).text
      let reference = try Self.forICU(pattern)
      let constraint = try Constraint.regex(pattern)
      let tokens = try TokenConstraint(constraint, codec: codec)
      var texts = (0..<6).map { _ in Self.text(&random) }
      for _ in 0..<3 {
        guard let bytes = try randomText(tokens, codec, &random) else { continue }
        // Of every scalar, only those that both dialects treat alike as `.` or a negated set.
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(Array(text.utf8) == bytes, "'\(pattern)' gave what is not UTF-8")
        guard !text.unicodeScalars.contains(where: { $0.properties.isWhitespace }) else { continue }
        texts.append(text)
        if !text.isEmpty { texts.append(String(text.unicodeScalars.dropLast())) }
      }
      // Short ones: ICU backtracks.
      for text in texts where text.utf8.count < 24 {
        tried += 1
        let whole = NSRange(text.startIndex..., in: text)
        let expected = reference.firstMatch(in: text, range: whole) != nil
        let actual = constraint.accepts(text.utf8)
        if expected { matched += 1 }
        if expected != actual {
          Issue.record("part \(part): '\(pattern)' and '\(text)': \(actual), not \(expected)")
          return
        }
      }
    }
    // Neither side may be rare, or the comparison says little.
    #expect(matched > tried / 5 && matched < tried * 4 / 5, "\(matched) of \(tried) matched")
  }

  /// All words of a language up to a length, by Swift's own Regex, tell which prefixes are alive.
  @Test("a token is allowed exactly when some word of the language goes on with it")
  func masksAgainstEnumeration() async throws {
    var random = TestRandom(seed: 5)
    let letters = ["a", "b", "c"]
    let codec = WordCodec(words: letters + ["ab", "ba", "bc", "aab", "cc", "abc"])
    var words = [""]
    var layer = [""]
    for _ in 0..<7 {
      layer = layer.flatMap { word in letters.map { word + $0 } }
      words += layer
    }
    var checked = 0
    for _ in 0..<120 {
      await Task.yield()
      let pattern = (0..<4).map { _ -> String in
        let atom = ["a", "b", "c", "[ab]", "(?:ab|c)", "(?:a|bc)", "(?:b|)"]
          .randomElement(using: &random)!
        return atom + ["", "?", "{2}", ""].randomElement(using: &random)!
      }.joined()
      let regex = try Regex(pattern)
      let language = try words.filter { try regex.wholeMatch(in: $0) != nil }
      // No word is longer than eight letters; a language with such words is not enumerated here.
      guard !language.isEmpty, language.allSatisfy({ $0.count < 7 }) else { continue }
      let prefixes = Set(language.flatMap { word in (0...word.count).map { word.prefix($0) } })
      let constraint = try TokenConstraint(Constraint.regex(pattern), codec: codec)
      for start in prefixes.sorted() {
        var state = constraint.makeState()
        try constraint.append(
          codec.encode(String(start), addSpecial: false, parseSpecial: false), to: &state)
        let mask = try constraint.mask(of: &state)
        for token in 0..<Int32(codec.vocabularySize) where token != codec.unknown {
          let expected =
            token == codec.end
            ? language.contains(String(start))
            : prefixes.contains((start + codec.words[Int(token)])[...])
          #expect(mask.allows(token) == expected, "'\(pattern)' after '\(start)', token \(token)")
          checked += 1
        }
      }
    }
    #expect(checked > 3000)
  }

  @Test(
    "what is not supported is refused with its column",
    arguments: [
      ("(a)\\1", "column 4", "backreference"), ("a(?=b)", "column 2", "lookaround"),
      ("(?<!a)b", "column 1", "lookaround"), ("a\\bc", "column 2", "word boundary"),
      ("a**", "column 3", "quantifier"), ("a*+", "column 3", "possessive"),
      ("*a", "column 1", "repeats nothing"), ("(ab", "column 1", "no ')'"),
      ("ab)", "column 3", "closes no group"), ("[ab", "column 1", "no ']'"),
      ("[z-a]", "column 2", "larger end"), ("a{3,2}", "column 2", "larger number"),
      ("a{x}", "column 2", "begins no count"), ("(?i)a", "column 1", "not supported"),
      ("\\p{L}", "column 1", "not supported"), ("\\q", "column 1", "not known"),
      ("é\\u{110000}", "column 2", "not a character"), ("a\\", "column 2", "backslash"),
      ("b(^a)", "column 3", "binds an end"), ("[]", "column 1", "empty"),
      ("a{9999999}", "column 2", "limit"), ("[\\d-z]", "column 2", "range"),
    ])
  func refusals(pattern: String, column: String, reason: String) {
    let error = engineError { try Constraint.regex(pattern) }
    #expect(error?.code == .argument)
    #expect(error?.message.contains(column) ?? false, "\(error?.message ?? "no error")")
    #expect(error?.message.contains(reason) ?? false, "\(error?.message ?? "no error")")
  }

  @Test(
    "expressions that grow without bound end in an error with the numbers",
    arguments: [
      "(a{1000}){1000}", "a{1,1000000}b{1,1000000}", "(((a{100}){100}){100}){100}",
      "(a|b)*a(a|b){24}", "((a?){200}b){200}(c{50}){50}", ".*a.{30}b.{30}",
    ])
  func limits(pattern: String) {
    let error = engineError { try Constraint.regex(pattern) }
    #expect(error?.code == .argument)
    #expect(error?.message.contains("limit") ?? false, "\(error?.message ?? "no error")")
    #expect(error?.message.contains { $0.isNumber } ?? false)
  }

  @Test(
    "expressions that make backtrackers slow are as fast as any",
    arguments: ["(a+)+b", "(a*)*b", "(a|a)*b", "(a|aa)+b", "(a?){25}a{25}", "((a|b)*|(b|a)*)*c"])
  func catastrophic(pattern: String) throws {
    let constraint = try Constraint.regex(pattern)
    let many = [UInt8](repeating: UInt8(ascii: "a"), count: 100_000)
    #expect(!constraint.accepts(many))
    #expect(constraint.stateCount < 100)
  }

  @Test("groups 100,000 deep and as many alternatives are read or refused, without a crash")
  func hostileShapes() throws {
    let deep = String(repeating: "(", count: 100_000) + String(repeating: ")", count: 100_000)
    #expect(engineError { try Constraint.regex(deep) }?.message.contains("250") ?? false)
    let wide = (0..<20_000).map(String.init).joined(separator: "|")
    let constraint = try Constraint.regex(wide)
    #expect(constraint.accepts("19999".utf8) && !constraint.accepts("20000".utf8))
  }

  @Test("automata are minimal and the anchors at the ends change nothing")
  func minimal() throws {
    #expect(try Constraint.regex("abc|abd|xbc|xbd").stateCount == 4)
    #expect(try Constraint.regex("(a|b)*").stateCount == 1)
    #expect(try Constraint.regex("^ab$").accepts("ab".utf8))
    #expect(try Constraint.regex("").accepts([]))
    #expect(engineError { try Constraint.regex("[^\\s\\S]") }?.message.contains("no text") ?? false)
  }
}
