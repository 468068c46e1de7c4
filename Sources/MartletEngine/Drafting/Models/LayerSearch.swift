import MartletModel

/// Finds the layers that a model can best do without when it drafts for itself.
///
/// Text that the model wrote is processed once as a whole; then every position once more by a part
/// of the model, which sees the whole's keys and values before it, as a draft does. The share of
/// positions at which both find the same token most likely says how often the part's guesses come
/// true. Layers are ranked by what leaving out each alone costs, then left out one after another in
/// that order; of all the parts so met the one is taken whose drafts promise the most tokens per
/// byte read. 2 · layers short passes. Source: the question, not the method, from "Draft & Verify"
/// (which searches with Bayesian optimisation).
struct LayerSearch {
  /// What was found.
  struct Found: Equatable {
    var layers: [Int]
    /// How often the part's first guess was right.
    var agreement: Double
    /// The tokens per time that promises, relative to no drafts.
    var promise: Double
  }

  let whole: TransformerBackend
  /// Pages that nobody else uses, for twice the text's tokens.
  let pages: [PageID]

  /// Positions per pass: their logits are held.
  private static let chunk = 32

  /// The best part for drafting `text`, which has two tokens or more.
  func best(for text: [Token]) throws(EngineError) -> Found {
    let logits = try LogitsBuffer(rows: Self.chunk, vocabulary: whole.vocabularySize)
    let truth = try choices(of: whole, text, isDraft: false, logits)
    let all = Array(whole.layers.indices)
    var best = Found(layers: all, agreement: 1, promise: 0)
    func consider(_ layers: [Int]) throws(EngineError) -> Double {
      let part = try whole.part(layers: layers)
      let guesses = try choices(of: part, text, isDraft: true, logits)
      let agreement =
        Double(zip(guesses, truth).count { $0 == $1 }) / Double(max(1, truth.count))
      let promise = Self.promise(
        agreement: agreement, share: Double(part.weightBytes) / Double(whole.weightBytes))
      if promise > best.promise {
        best = Found(layers: layers, agreement: agreement, promise: promise)
      }
      return agreement
    }
    guard all.count > 1 else { return best }
    var alone: [(layer: Int, agreement: Double)] = []
    for layer in all {
      alone.append((layer, try consider(all.filter { $0 != layer })))
    }
    var left = all
    for (layer, _) in alone.sorted(by: { ($1.agreement, $0.layer) < ($0.agreement, $1.layer) })
    where left.count > 1 {
      left.removeAll { $0 == layer }
      _ = try consider(left)
    }
    return best
  }

  /// Tokens per time with the best number of guesses in a row, where a pass of the part takes `share`
  /// of one of the whole and another row of the whole about a twelfth.
  static func promise(agreement: Double, share: Double) -> Double {
    var tokens = 1.0
    var chance = 1.0
    var best = 0.0
    for depth in 1...12 {
      chance *= agreement
      tokens += chance
      best = max(best, tokens / (1 + Double(depth) * (share + 1.0 / 12)))
    }
    return best
  }

  /// The most likely token after every position but the last.
  private func choices(
    of backend: TransformerBackend, _ text: [Token], isDraft: Bool, _ logits: LogitsBuffer
  ) throws(EngineError) -> [Token] {
    var choices: [Token] = []
    var scratch = GuessScratch()
    var first = 0
    while first < text.count - 1 {
      let range = first..<min(first + Self.chunk, text.count - 1)
      // A draft's own keys and values lie behind the text, and it alone sees them.
      let batch = ForwardBatch(
        tokens: range.map { position in
          BatchToken(
            token: text[position], position: position, sequence: 0, wantsLogits: true,
            path: isDraft ? [text.count + position] : [])
        }, sequences: [pages])
      try backend.forward(batch, logits: logits)
      for row in 0..<range.count {
        let choice = logits.withRow(row) { (row: Span<Float>) in
          scratch.choices(row, drawn: nil, count: 1).first?.token
        }
        choices.append(choice ?? -1)
      }
      first = range.upperBound
    }
    return choices
  }
}

extension Engine {
  /// The layers of this engine's model that draft best for the whole of it; see ``LayerSearch``. Found
  /// on text that the model writes itself, which takes some thirty short passes and a few seconds for a
  /// model of a thousand million weights; kept in the engine's tuning folder.
  ///
  /// - Throws: `EngineError` `.argument` for a backend that is no transformer, `.memory` where no
  ///   pages are left, `.cancelled`.
  public func selfDraftLayers() throws(EngineError) -> [Int] {
    guard let whole = backend as? TransformerBackend else {
      throw EngineError(.argument, "\(backend.name) has no layers to leave out")
    }
    if let kept = costs.keptDraftLayers(whole) { return kept }
    let text = try sampleText(tokens: min(96, whole.contextLength / 2))
    let found = try core.onScratch(positions: 2 * text.count) {
      pages throws(EngineError) -> LayerSearch.Found in
      try LayerSearch(whole: whole, pages: pages).best(for: text)
    }
    costs.keep(draftLayers: found.layers, whole)
    return found.layers
  }

  /// Text that the model writes on its own.
  private func sampleText(tokens count: Int) throws(EngineError) -> [Token] {
    var prompt = tokenizer.bosToken.map { [$0] } ?? []
    if prompt.isEmpty { prompt = tokenizer.encode("\n", addSpecial: true, parseSpecial: false) }
    if prompt.isEmpty { prompt = [0] }
    var sampling = SamplingOptions()
    sampling.temperature = 0.8
    var stops = StopRules()
    stops.stopAtEndOfGeneration = false
    let run = try makeRun(prompt: prompt, seed: 1, sampling: sampling, stops: stops)
    try run.advanceBlocking([run.root], Advance(maxTokens: count))
    let text = prompt + run.root.tokens
    guard text.count >= 2 else {
      throw EngineError(.state, "\(backend.name) wrote no text on which layers could be compared")
    }
    return text
  }
}

extension EngineCore {
  /// Runs `body` between two passes with pages for so many positions that no run holds meanwhile.
  func onScratch<R: Sendable>(
    positions: Int, _ body: @escaping @Sendable ([PageID]) throws(EngineError) -> R
  ) throws(EngineError) -> R {
    let needed = PagePool.pages(for: positions, pageTokens: backend.pageTokens)
    let result = onDriver { () -> Result<R, EngineError> in
      let pages = self.locked { () throws(Never) in self.pool.takeScratch(needed) }
      defer { self.locked { () throws(Never) in self.pool.returnScratch(pages) } }
      guard pages.count == needed else {
        return .failure(
          EngineError(
            .memory, "\(needed) pages of keys and values are not free; raise kvBytesLimit"))
      }
      do throws(EngineError) {
        return .success(try body(pages))
      } catch {
        return .failure(error)
      }
    }
    guard let result else { throw EngineError(.cancelled, "the engine was shut down") }
    return try result.get()
  }
}
