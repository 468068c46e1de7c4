import ArgumentParser
import Foundation
import Martlet

/// `martlet model logits`.
struct LogitsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logits",
    abstract: "Writes the logits that follow a sequence of tokens as a NumPy file.",
    discussion: """
      float32, shape [vocabulary] for the last position, or [tokens, vocabulary] with --all. \
      Tokens are taken as they are: nothing is added before them.
      """)

  @Option(help: "The model file; the embedded model if not given.", transform: path)
  var model: String?

  @Option(help: "Token ids separated by commas.")
  var tokens: String

  @Option(help: "The .npy file to write.", transform: path)
  var out: String

  @Flag(help: "Write every position's logits.")
  var all = false

  @Option(
    parsing: .unconditional,
    help: "Worker threads; as many as the machine calls for if not given.", transform: threadCount)
  var threads: Int?

  @Option(help: "Numeric class: \(NumericClass.allCases.map(\.rawValue).joined(separator: ", ")).")
  var numeric: NumericClass = .portable

  func run() throws {
    try ISA.validate()
    try numeric.validate()
    let ids = try parseTokens()
    let team = try ThreadTeam(threads: threads)
    let model = try TransformerModel.load(
      path: modelPath(model), numericClass: numeric, team: team)
    // Ids are given, so a file without a vocabulary will do.
    let parts = TransformerParts(
      model: model,
      tokenizer: TextlessCodec(vocabularySize: model.configuration.vocabularySize))
    let backend = try TransformerBackend(parts: parts, team: team)
    try check(ids, backend)

    try backend.reservePages((ids.count + backend.pageTokens - 1) / backend.pageTokens)
    let pages = (0..<PageID((ids.count + backend.pageTokens - 1) / backend.pageTokens))
    var values: [Float] = []
    for start in stride(from: 0, to: ids.count, by: backend.maximumBatchTokens) {
      let chunk = start..<min(start + backend.maximumBatchTokens, ids.count)
      let batch = ForwardBatch(
        tokens: chunk.map { position in
          BatchToken(
            token: ids[position], position: position, sequence: 0,
            wantsLogits: all || position == ids.count - 1)
        }, sequences: [Array(pages)])
      let logits = try LogitsBuffer(
        rows: max(batch.logitsRows, 1), vocabulary: backend.vocabularySize)
      try backend.forward(batch, logits: logits)
      for row in 0..<batch.logitsRows { values += logits.row(row) }
    }
    let shape = all ? [ids.count, backend.vocabularySize] : [backend.vocabularySize]
    try NumpyFile.write(values, shape: shape, to: out)
  }

  private func parseTokens() throws(CommandError) -> [Token] {
    var ids: [Token] = []
    for part in tokens.split(separator: ",", omittingEmptySubsequences: false) {
      let text = part.trimmingCharacters(in: .whitespaces)
      guard let id = Token(text) else {
        throw CommandError(
          .usage, "--tokens holds '\(text)', which is no token id; write e.g. 1,2,3")
      }
      ids.append(id)
    }
    return ids
  }

  private func check(_ ids: [Token], _ backend: TransformerBackend) throws(CommandError) {
    if let bad = ids.first(where: { $0 < 0 || Int($0) >= backend.vocabularySize }) {
      throw CommandError(
        .usage, "--tokens holds \(bad), but the vocabulary has \(backend.vocabularySize) tokens")
    }
    if ids.count > backend.contextLength {
      throw CommandError(
        .usage,
        "--tokens holds \(ids.count) tokens, but the context is \(backend.contextLength)")
    }
  }
}
