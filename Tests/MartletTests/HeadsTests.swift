import Foundation
import Martlet
import Testing

/// Medusa and EAGLE heads: files, forward passes, refusals.
@Suite(.serialized) struct HeadsTests {
  private let session: Session
  private let golden: HeadsGolden

  init() throws {
    session = try Session()
    golden = try HeadsGolden.read()
  }

  /// Both sides compute with the file's f16 weights; PyTorch sums in another order of float32 and
  /// gave logits of magnitude 30 rounded to six digits.
  private static let tolerance: Float = 5e-4

  private func load(_ name: String) throws -> DraftHeads {
    try DraftHeads.load(path: HeadsGolden.path(name), base: session.model, team: session.team)
  }

  @Test(arguments: ["medusa.gguf", "medusa-own.gguf"])
  func medusaLogitsArePyTorchs(name: String) throws {
    guard case .medusa(let heads) = try load(name) else {
      Issue.record("\(name) holds no Medusa heads")
      return
    }
    let expected = try #require(golden.medusa[name])
    #expect(heads.heads.count == expected.count)
    let rows = golden.features.count
    let forward = try MedusaForward(
      heads: heads, output: session.model.output, team: session.team, maximumRows: rows)
    let features = try golden.featureMatrix()
    try forward.run(features, rows: rows)
    var together: [[[Float]]] = []
    for head in 0..<heads.heads.count {
      together.append(
        (0..<rows).map { row in
          forward.withLogits(head: head, row: row) { (row: Span<Float>) in
            row.indices.map { row[$0] }
          }
        })
      for row in 0..<rows {
        let worst = worstDifference(together[head][row], expected[head][row])
        #expect(worst <= Self.tolerance, "head \(head), row \(row) is off by \(worst)")
      }
    }
    // A row alone has the bits it has in a crowd.
    let alone = try FloatMatrix(rows: 1, columns: features.columns)
    alone.copyRow(0, from: features, row: rows - 1)
    try forward.run(alone, rows: 1)
    for head in 0..<heads.heads.count {
      forward.withLogits(head: head, row: 0) { (row: Span<Float>) in
        #expect(row.indices.map { row[$0] } == together[head][rows - 1])
      }
    }
  }

  @Test(arguments: ["eagle.gguf", "eagle-bare.gguf"])
  func eagleLogitsArePyTorchs(name: String) throws {
    guard case .eagle(let head) = try load(name) else {
      Issue.record("\(name) holds no EAGLE head")
      return
    }
    let expected = try #require(golden.eagle[name])
    let rows = golden.features.count
    // In one pass, and position by position.
    for chunk in [rows, 1] {
      let forward = try EagleForward(
        head: head, base: TransformerParts(model: session.model, tokenizer: session.tokenizer),
        team: session.team, options: .init(kvType: .f32))
      try forward.backend.reservePages(1)
      let made = try FloatMatrix(rows: 1, columns: forward.width)
      func run(_ features: FloatMatrix, _ tokens: [Token], at first: Int) throws -> [[Float]] {
        let logits = try LogitsBuffer(
          rows: tokens.count, vocabulary: forward.backend.vocabularySize)
        let batch = ForwardBatch(
          tokens: tokens.enumerated().map { index, token in
            BatchToken(token: token, position: first + index, sequence: 0, wantsLogits: true)
          }, sequences: [[0]])
        try forward.forward(batch, features: features, logits: logits)
        #expect(
          forward.backend.copyHiddenState(
            page: 0, slot: first + tokens.count - 1, into: made, row: 0))
        return tokens.indices.map { logits.row($0) }
      }
      let features = try golden.featureMatrix()
      var logits: [[Float]] = []
      for first in stride(from: 0, to: rows, by: chunk) {
        let part = try FloatMatrix(rows: chunk, columns: forward.width)
        for row in 0..<chunk { part.copyRow(row, from: features, row: first + row) }
        logits += try run(part, Array(golden.tokens[(first + 1)...(first + chunk)]), at: first)
      }
      for row in 0..<rows {
        let worst = worstDifference(logits[row], expected.logits[row])
        #expect(worst <= Self.tolerance, "chunk \(chunk), row \(row) is off by \(worst)")
      }
      #expect(worstDifference(made.row(0), expected.features) <= Self.tolerance)
      let chained = try run(made, [expected.drafted], at: rows)
      let worst = worstDifference(chained[0], expected.chained)
      #expect(worst <= Self.tolerance, "the guess's row is off by \(worst)")
    }
  }

  /// Keys and values that come from a file have no hidden states with them, and what is processed again of
  /// such a page does not stand for the others.
  @Test func pagesFromElsewhereHaveNoHiddenStates() throws {
    let tokens = Array(golden.tokens.dropLast())
    let backend = try TransformerBackend(
      model: session.model, team: session.team, options: .init(kvType: .f32))
    try backend.reservePages(3)
    backend.keepHiddenStates(byteLimit: 1 << 20)
    let state = try FloatMatrix(rows: 1, columns: try #require(backend.hiddenWidth))
    func slots(_ page: PageID) -> [Int] {
      (0..<backend.pageTokens).filter {
        backend.copyHiddenState(page: page, slot: $0, into: state, row: 0)
      }
    }
    let batch = ForwardBatch(
      tokens: tokens.enumerated().map { index, token in
        BatchToken(token: token, position: index, sequence: 0, wantsLogits: index == 0)
      }, sequences: [[1]])
    let buffer = try LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize)
    try backend.forward(batch, logits: buffer)
    let all = Array(tokens.indices)
    #expect(slots(1) == all)
    let bytes = try backend.pageBytes(1)
    for page in [1, 2] as [PageID] {
      try backend.setPage(page, to: bytes)
      #expect(slots(page).isEmpty)
      try backend.repeatPositions([5], tokens: [tokens[5]], table: [page], prompt: tokens.count)
      #expect(slots(page) == [5])
      try backend.repeatPositions([0], tokens: [tokens[0]], table: [page], prompt: tokens.count)
      #expect(slots(page) == [0, 5])
    }
    backend.movePosition(from: (2, 7), to: (1, 0))
    #expect(slots(1) == [5], "what the slot held is another token's")
    try backend.forward(batch, logits: buffer)
    #expect(slots(1) == all)
    backend.copyPage(from: 1, to: 2, positions: 4)
    #expect(slots(2) == [0, 1, 2, 3])
  }

  @Test func keptHiddenStatesAreTheFeaturesAndChangeNoBit() throws {
    let tokens = Array(golden.tokens.dropLast())
    let batch = ForwardBatch(
      tokens: tokens.enumerated().map { index, token in
        BatchToken(token: token, position: index, sequence: 0, wantsLogits: index % 3 == 0)
      }, sequences: [[1]])
    var logits: [[[Float]]] = []
    for keeps in [false, true] {
      let backend = try TransformerBackend(
        model: session.model, team: session.team, options: .init(kvType: .f32))
      try backend.reservePages(3)
      let state = try FloatMatrix(rows: 1, columns: try #require(backend.hiddenWidth))
      if keeps { backend.keepHiddenStates(byteLimit: 1 << 20) }
      let buffer = try LogitsBuffer(rows: batch.logitsRows, vocabulary: backend.vocabularySize)
      try backend.forward(batch, logits: buffer)
      logits.append((0..<batch.logitsRows).map { buffer.row($0) })
      #expect(backend.copyHiddenState(page: 1, slot: 0, into: state, row: 0) == keeps)
      #expect(!backend.copyHiddenState(page: 2, slot: 0, into: state, row: 0))
      guard keeps else { continue }
      backend.copyPage(from: 1, to: 2, positions: 9)
      backend.movePosition(from: (1, 9), to: (2, 9))
      for page in [1, 2] as [PageID] {
        for (slot, expected) in golden.features.enumerated() {
          #expect(backend.copyHiddenState(page: page, slot: slot, into: state, row: 0))
          let worst = worstDifference(state.row(0), expected)
          #expect(worst <= Self.tolerance, "position \(slot) is off by \(worst)")
        }
      }
    }
    #expect(logits[0] == logits[1])
  }

  @Test func foreignAndDamagedFilesAreRefusedByName() throws {
    let medusa = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: HeadsGolden.path("medusa.gguf"))))
    let eagle = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: HeadsGolden.path("eagle-bare.gguf"))))
    let base = [UInt8](try Data(contentsOf: URL(fileURLWithPath: #require(EmbeddedModel.path))))
    func changed(_ bytes: [UInt8], _ key: String, _ value: UInt32) throws -> [UInt8] {
      var bytes = bytes
      let place = try #require(bytes.firstRange(of: Array(key.utf8)))
      // A type, then the value.
      for index in 0..<4 {
        bytes[place.upperBound + 4 + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
      }
      return bytes
    }
    func renamed(_ bytes: [UInt8], _ name: String, _ other: String) throws -> [UInt8] {
      var bytes = bytes
      bytes.replaceSubrange(try #require(bytes.firstRange(of: Array(name.utf8))), with: other.utf8)
      return bytes
    }
    let cases: [(bytes: [UInt8], code: ModelError.Code, words: [String])] = [
      (base, .unsupported, ["'llama'", "martlet-medusa", "martlet-eagle"]),
      (Array(medusa.prefix(medusa.count - 100)), .truncated, []),
      (Array(eagle.prefix(300)), .truncated, []),
      ([], .format, []),
      (
        try changed(medusa, "martlet-medusa.embedding_length", 512), .shape,
        ["'martlet-medusa.embedding_length' is 512", "256", "martlet-arith"]
      ),
      (
        try changed(eagle, "martlet-eagle.vocab_size", 47), .shape,
        ["'martlet-eagle.vocab_size' is 47", "46", "martlet-arith"]
      ),
      (
        try changed(medusa, "martlet-medusa.head_count", 5), .missing, ["'head.4.blk.0.weight'"]
      ),
      (
        try changed(medusa, "martlet-medusa.head_count", 3), .unsupported, ["head.3.blk.0"]
      ),
      (
        try changed(medusa, "martlet-medusa.head_count", 0), .value, ["martlet-medusa.head_count"]
      ),
      (
        try changed(eagle, "martlet-eagle.feed_forward_length", 64), .shape, ["blk.0.ffn_"]
      ),
      (try renamed(eagle, "fc.weight", "fd.weight"), .missing, ["'fc.weight'"]),
      (
        try renamed(
          eagle, "martlet-eagle.attention.head_count_kv", "martlet-eagle.attention.head_count_kw"),
        .shape, ["blk.0.attn_k.weight"]
      ),
    ]
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(
      "heads-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: file) }
    for (bytes, code, words) in cases {
      try Data(bytes).write(to: file)
      #expect {
        _ = try DraftHeads.load(path: file.path, base: session.model)
      } throws: { error in
        guard let error = error as? ModelError, error.code == code else {
          Issue.record("\(error) instead of \(code)")
          return false
        }
        let missing = ([file.lastPathComponent] + words).filter { !error.message.contains($0) }
        if !missing.isEmpty { Issue.record("'\(error)' does not name \(missing)") }
        return missing.isEmpty
      }
    }
  }

  @Test func theOtherKindOfHeadsIsRefused() throws {
    for (asked, name) in [("medusa", "eagle-bare.gguf"), ("eagle", "medusa.gguf")] {
      #expect {
        _ = try session.opened(.parse("\(asked)=\(HeadsGolden.path(name))"))
      } throws: { error in
        "\(error)".contains(name) && "\(error)".contains(asked == "medusa" ? "eagle=" : "medusa=")
      }
    }
  }
}
