import MartletModel

/// What a ``TokenConstraint`` remembers, behind its lock.
struct ConstraintTable: Sendable {
  let trie: TokenTrie
  let codec: any TokenCodec
  let endTokens: [Token]
  let vocabularySize: Int
  let memoryLimit: Int
  /// Whether every byte that the constraint can ask for is a token, so that whatever bytes can
  /// complete, tokens can.
  let spellsAllBytes: Bool

  var matcher: ByteMatcher
  private(set) var generation = 0
  private var masks: [Int32: (mask: TokenMask, used: Int)] = [:]
  private var uses = 0
  var forced: [Int32: Token?] = [:]
  var liveness: [Int32: Bool] = [:]
  /// The places and rows of a walk's ancestors.
  var path: [(place: Int32, row: Int32)]

  init(
    _ grammar: ByteGrammar, trie: TokenTrie, codec: any TokenCodec, endTokens: Set<Token>,
    vocabularySize: Int, memoryLimit: Int
  ) {
    self.trie = trie
    self.codec = codec
    self.endTokens = endTokens.filter { $0 >= 0 && Int($0) < vocabularySize }.sorted()
    self.vocabularySize = vocabularySize
    self.memoryLimit = memoryLimit
    spellsAllBytes = Self.spellsAllBytes(of: grammar, trie, endTokens)
    matcher = ByteMatcher(grammar)
    path = Array(repeating: (0, 0), count: Int(trie.below[0].length) + 1)
  }

  private static func spellsAllBytes(
    of grammar: ByteGrammar, _ trie: TokenTrie, _ endTokens: Set<Token>
  ) -> Bool {
    let columns = grammar.classes.count
    var isUsed = [Bool](repeating: false, count: columns)
    for (i, target) in grammar.next.enumerated() where target >= 0 { isUsed[i % columns] = true }
    return (0..<256).allSatisfy { byte in
      !isUsed[Int(grammar.classes.classOf[byte])]
        || trie.tokens(ofByte: UInt8(byte)).contains { !endTokens.contains($0) }
    }
  }

  var placeCount: Int { matcher.placeCount }
  var maskCount: Int { masks.count }

  // MARK: States

  func makeState() -> ConstraintState {
    ConstraintState(start: matcher.start, generation: generation)
  }

  func accepts(_ place: Int32) -> Bool { matcher.accepts(place) }

  mutating func accepts(_ state: inout ConstraintState) -> Bool {
    refresh(&state)
    return matcher.accepts(state.place)
  }

  mutating func isComplete(_ state: inout ConstraintState) -> Bool {
    refresh(&state)
    return matcher.isComplete(state.place)
  }

  mutating func advance(
    _ state: inout ConstraintState, by token: Token, isForced: Bool
  ) -> Bool {
    refresh(&state)
    let place: Int32
    let isEnd = endTokens.contains(token)
    if isEnd {
      guard matcher.accepts(state.place) else { return false }
      place = state.place
    } else {
      let bytes = codec.bytes(of: token, renderSpecial: false)
      guard !bytes.isEmpty else { return false }
      place = matcher.step(state.place, bytes)
      guard place != ByteMatcher.dead else { return false }
    }
    state.steps.append(.init(token: isEnd ? nil : token, place: place, isForced: isForced))
    return true
  }

  mutating func appended(
    _ tokens: [Token], to state: ConstraintState
  ) throws(EngineError) -> ConstraintState {
    var result = state
    refresh(&result)
    var offset = 0
    for token in tokens {
      var place = result.place
      for byte in codec.bytes(of: token, renderSpecial: false) {
        let next = matcher.step(place, byte)
        guard next != ByteMatcher.dead else {
          let found = ByteText.describe([byte...byte])
          let expected = expectation(at: place)
          throw EngineError(
            .argument,
            "the appended text breaks the constraint at byte \(offset): \(found) cannot come there; "
              + "\(expected)")
        }
        place = next
        offset += 1
      }
      result.steps.append(.init(token: token, place: place, isForced: false))
    }
    return result
  }

  /// What may come at a place, in words.
  func expectation(at place: Int32) -> String {
    if matcher.isComplete(place) { return "the text is complete" }
    let classes = matcher.possibleClasses(place, most: .max)
    let ranges = classes.flatMap { matcher.grammar.classes.ranges[$0] }
    return "possible is \(ByteText.describe(ranges))"
  }

  /// Brings a state to the present numbering, after making room if that is due. Places are not
  /// forgotten at any other moment, so that numbers stay valid within a call.
  mutating func refresh(_ state: inout ConstraintState) {
    forgetIfNeeded()
    guard state.generation != generation else { return }
    state.generation = generation
    state.start = matcher.start
    var place = matcher.start
    for i in state.steps.indices {
      if let token = state.steps[i].token {
        place = matcher.step(place, codec.bytes(of: token, renderSpecial: false))
      }
      state.steps[i].place = place
    }
  }

  /// Forgets everything when places take too much.
  private mutating func forgetIfNeeded() {
    guard matcher.byteCount > memoryLimit else { return }
    generation += 1
    matcher = ByteMatcher(matcher.grammar)
    masks = [:]
    forced = [:]
    liveness = [:]
  }

  // MARK: Masks

  mutating func checkedMask(of state: inout ConstraintState) throws(EngineError) -> TokenMask {
    refresh(&state)
    let mask = mask(at: state.place)
    guard mask.count > 0 else {
      if matcher.isComplete(state.place) {
        throw EngineError(.argument, "the text is complete and there is no token to end it with")
      }
      throw EngineError(
        .argument,
        "the vocabulary has no token for what the constraint needs next: "
          + "\(expectation(at: state.place)); allow more, or use a model whose tokenizer has it")
    }
    return mask
  }

  mutating func mask(at place: Int32) -> TokenMask {
    uses += 1
    if let kept = masks[place] {
      masks[place]!.used = uses
      return kept.mask
    }
    var words = [UInt64](repeating: 0, count: (vocabularySize + 63) / 64)
    fill(&words, with: allowedRanges(at: place))
    let mayEnd = matcher.accepts(place)
    for token in endTokens {
      let bit = UInt64(1) << UInt64(token % 64)
      if mayEnd { words[Int(token) / 64] |= bit } else { words[Int(token) / 64] &= ~bit }
    }
    let mask = TokenMask(words: words, vocabularySize: vocabularySize)
    if (masks.count + 1) * words.count * 8 > memoryLimit { dropOldMasks() }
    masks[place] = (mask, uses)
    return mask
  }

  /// The half that was not used for longer.
  private mutating func dropOldMasks() {
    let ages = masks.values.map(\.used).sorted()
    guard let middle = ages.dropFirst(ages.count / 2).first else { return }
    masks = masks.filter { $0.value.used > middle }
  }

  private func fill(_ words: inout [UInt64], with ranges: [Range<Int32>]) {
    for range in ranges {
      for i in Int(range.lowerBound)..<Int(range.upperBound) {
        let token = Int(trie.order[i])
        words[token / 64] |= 1 << UInt64(token % 64)
      }
    }
  }
}
