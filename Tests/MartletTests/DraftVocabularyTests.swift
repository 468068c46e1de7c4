import Foundation
import Martlet
import MartletSimulation
import Testing

/// Draft models that compute logits for frequent tokens alone.
@Suite("Frequency-ranked draft vocabularies", .serialized)
struct DraftVocabularyTests {
  private let session: Session
  private let prompts: [[Token]]

  init() throws {
    session = try Session()
    prompts = try HeadsGolden.read().prompts.prefix(6).map { [session] in
      session.tokenizer.encode($0, addSpecial: true, parseSpecial: false)
    }
  }

  @Test("logits of some tokens are those of all, bit for bit")
  func logits() throws {
    let tokens: [Token] = [2, 3, 5, 8, 11, 14, 17, 19, 40]
    let whole = try TransformerBackend(model: session.model, team: session.team)
    let part = try whole.part(
      layers: Array(whole.layers.indices),
      output: (try session.model.packedOutput(of: tokens, team: session.team), tokens))
    #expect(part.vocabularySize == tokens.count && part.knownTokens == whole.vocabularySize)
    try whole.reservePages(4)
    let batch = ForwardBatch(
      tokens: prompts[0].enumerated().map {
        BatchToken(token: $1, position: $0, sequence: 0, wantsLogits: true)
      }, sequences: [[0, 1, 2, 3]])
    let all = try LogitsBuffer(rows: prompts[0].count, vocabulary: whole.vocabularySize)
    let some = try LogitsBuffer(rows: prompts[0].count, vocabulary: tokens.count)
    try whole.forward(batch, logits: all)
    try part.forward(batch, logits: some)
    for row in prompts[0].indices {
      let (expected, found) = (all.row(row), some.row(row))
      #expect(found == tokens.map { expected[Int($0)] })
    }
  }

  @Test(
    "texts are the same, and only ranked tokens are guessed", arguments: ["12", "FILE", "9:FILE"])
  func texts(vocabulary: String) throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try Data(" 17+11=28 28-4=24 #\n 3*12=36 36+9=45 #\n".utf8).write(to: path)
    defer { try? FileManager.default.removeItem(at: path) }
    let word = vocabulary.replacingOccurrences(of: "FILE", with: path.path)
    let drafting = try Drafting.parse("model=\(session.model.path),vocabulary=\(word)")
    #expect(try Drafting.parse(drafting.name) == drafting)

    func play(_ isOn: Bool) throws -> (texts: [[Token]], accepted: Int, guessed: Int) {
      let engine = try Engine(
        backend: PricedBackend(
          nearlyFree: try TransformerBackend(model: session.model, team: session.team)))
      defer { engine.shutdown() }
      var drafting = isOn ? drafting : .off
      if isOn { drafting.drafter = try session.makeDrafter(drafting.model!, for: engine) }
      var (texts, accepted, guessed) = ([[Token]](), 0, 0)
      for (index, prompt) in prompts.enumerated() {
        let run = try engine.makeRun(
          prompt: prompt, seed: UInt64(index), sampling: Session.defaultSampling,
          drafting: drafting)
        let branches = try run.root.fork(3)
        try run.advanceBlocking(branches, Advance(maxTokens: 60))
        texts += branches.map(\.tokens)
        accepted += run.statistics.acceptedTokens
        guessed += run.statistics.guessedTokens
      }
      return (texts, accepted, guessed)
    }
    let (plain, drafted) = (try play(false), try play(true))
    #expect(drafted.texts == plain.texts)
    #expect(drafted.guessed > 0, "nothing guessed: the test shows nothing")
  }

  @Test("tokens are ranked by a text, then by id")
  func ranking() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try Data("= = = + + 7".utf8).write(to: path)
    defer { try? FileManager.default.removeItem(at: path) }
    let counted = session.tokenizer.encode("= = = + + 7", addSpecial: false, parseSpecial: false)
    let all = try DraftVocabulary(path: path.path).tokens(of: session.engine)
    #expect(Set(all).isSuperset(of: counted) && all == all.sorted())
    let two = try DraftVocabulary(count: 2, path: path.path).tokens(of: session.engine)
    let equals = try #require(
      session.tokenizer.encode("=", addSpecial: false, parseSpecial: false).last)
    #expect(two.count == 2 && two.contains(equals))
    #expect(try DraftVocabulary(count: 30).tokens(of: session.engine).count == 30)
  }

  @Test("bad vocabularies are refused with what is wrong")
  func refusals() throws {
    for word in [
      "model=a.gguf,vocabulary=0", "self,vocabulary=", "exit=1,vocabulary=5:",
      "medusa=a,vocabulary=4",
      "plugin=x,vocabulary=4", "ngram,vocabulary=4",
    ] {
      #expect(throws: EngineError.self, "\(word)") { _ = try Drafting.parse(word) }
    }
    do throws(EngineError) {
      _ = try DraftVocabulary(path: "/no/such/text").tokens(of: session.engine)
      Issue.record("a missing text was read")
    } catch {
      #expect(error.code == .file && error.message.contains("/no/such/text"))
    }
    do throws(ModelError) {
      _ = try session.model.packedOutput(of: [1 << 20])
      Issue.record("a token outside the vocabulary was packed")
    } catch {
      #expect(error.code == .argument)
    }
  }
}
