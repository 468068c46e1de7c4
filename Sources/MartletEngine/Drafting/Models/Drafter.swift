import MartletModel

/// Guesses coming tokens by computing: a small model, part of the model itself, heads trained for it,
/// or anything else that takes time worth accounting for.
///
/// Nothing that a drafter says can change a text: the engine verifies every guess by the model, with
/// the random number that plain decoding has at that place. A drafter decides only how much is gained.
/// Where a run tests guesses by rejection (``Verifier``), guesses drawn by chance must come with the law
/// they were drawn from (``DraftProposal/setLaw(_:after:)``), or the distribution is not kept.
///
/// `propose` is called on the engine's one driver thread, between forward passes, never at the same
/// time. A drafter may serve several runs, also of several engines on one thread team, one after
/// another.
public protocol Drafter: AnyObject, Sendable {
  /// A name for messages, `--draft` and statistics.
  var name: String { get }
  /// Whether it computes in the pages of the sequences themselves, behind their processed positions,
  /// rather than in storage of its own; see ``DraftSequence/pages``.
  var usesTargetPages: Bool { get }
  /// Whether it reads the model's hidden states; see ``DraftSequence/pages``.
  var readsHiddenStates: Bool { get }
  /// Throws ``EngineError/Code/argument`` where it cannot guess for a model, for example because it
  /// computes in the pages of another.
  func check(for backend: any Backend) throws(EngineError)
  /// Guesses how each sequence goes on. One tree per sequence, empty for no guess.
  ///
  /// Throws when it cannot work at all; the engine then goes on without it.
  func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound
}

extension Drafter {
  public var usesTargetPages: Bool { false }
  public var readsHiddenStates: Bool { false }
  public func check(for backend: any Backend) throws(EngineError) {}
}

/// A sequence that is to be guessed on.
public struct DraftSequence: Sendable {
  /// Stays the same while the sequence is extended token by token, so that what was computed of it
  /// can be kept; its tokens may still become other ones, or fewer.
  public let id: UInt64
  /// All tokens, prompt included. The last is not yet processed by the model.
  public let tokens: [Token]
  /// The most tokens in a row, and in all, that can be of use.
  public let depth: Int
  public let nodes: Int
  /// For a drafter with ``Drafter/usesTargetPages``: the sequence's page table, long enough for its
  /// tokens and `nodes` more; positions up to the last token's are stored in it. Everything from the
  /// last token's slot on may be overwritten. For a drafter with ``Drafter/readsHiddenStates``: the
  /// pages for whose slots the model keeps the hidden states of all tokens but the last, which it may
  /// only read. Empty for others.
  public let pages: [PageID]
  /// How the run tests guesses; its ``Verifier/draws`` is how many guesses per place are to be drawn
  /// by chance (``law(_:after:with:)``), if that is not 0.
  public let verifier: Verifier
  /// How the run draws.
  let dice: DraftDice

  /// Draws the token at the place after `path`, which follows the sequence, from a row of logits as
  /// the run will draw it from the model's own: by the same rules with the same random number. The
  /// nearer the row is to the model's, the likelier the two draws agree, and far likelier than a
  /// draw and the most likely token do where the temperature is high.
  public func draw(
    _ row: Span<Float>, after path: [Token], with sampler: inout DraftSampler
  ) -> Token? {
    dice.draw(row, after: tokens, path, &sampler)
  }

  /// Whether what is drawn depends on which tokens a row's logits are for: biases, suppressed tokens,
  /// penalties, or noise by token.
  var drawNamesTokens: Bool {
    let options = dice.options
    return options.penalises || options.dryMultiplier > 0 || !options.logitBias.isEmpty
      || !options.suppressed.isEmpty || !options.drawsAlongIDs && options.temperature > 0
  }

  /// Guesses for the place after `path`, drawn from a row of logits under the run's rules, as many as
  /// ``verifier`` wants, with the law they were drawn from. nil where the rules leave nothing of the
  /// row or name tokens that it has not.
  public func law(
    _ row: Span<Float>, after path: [Token], with sampler: inout DraftSampler
  ) -> DraftLaw? {
    dice.law(row, after: tokens, path, verifier, &sampler)
  }
}

/// What the engine knows of what tokens and guesses are worth.
public struct DraftEconomy: Sendable {
  /// Seconds that one more token of one sequence takes without guessing.
  public let secondsPerToken: Double
  /// How often guesses of a kind come true.
  let calibration: GuessCalibration
  /// How often one of the guesses drawn for a place is kept.
  let acceptance: Float

  /// The probability that a guess is what the model draws, given that those before it are: `rank` 0
  /// for ``DraftSequence/draw(_:after:with:)``'s choice, 1… for further ones in order of likelihood,
  /// `probability` the drafter's own opinion.
  public func probability(rank: Int, probability: Float) -> Float {
    calibration.probability(rank: rank, probability)
  }
}

/// Guesses at how one sequence goes on: a tree.
public struct DraftProposal: Sendable, Equatable {
  /// One guessed token.
  public struct Guess: Sendable, Equatable {
    public let token: Token
    /// Index of the guess that it follows; -1 for the sequence itself. Less than its own index.
    public let parent: Int
    /// 0 for the first choice at its place, 1… for further ones.
    public let rank: Int
    /// The drafter's opinion that it follows its parent, 0…1.
    public let probability: Float

    public init(token: Token, parent: Int, rank: Int, probability: Float) {
      self.token = token
      self.parent = parent
      self.rank = rank
      self.probability = probability
    }
  }

  public private(set) var guesses: [Guess] = []
  /// First child of each guess (shifted by one; the sequence itself first) and next sibling.
  private var firstChild: [Int32] = [-1]
  private var nextSibling: [Int32] = []
  /// What the guesses after a guess were drawn from, -1 for the sequence itself.
  private var laws: [Int: DraftLaw] = [:]

  public init() {}

  /// Adds a guess and returns its index. Guesses are added parents first, best sibling first.
  @discardableResult
  public mutating func append(_ guess: Guess) -> Int {
    precondition(guess.parent >= -1 && guess.parent < guesses.count, "a guess before its parent")
    let index = guesses.count
    guesses.append(guess)
    firstChild.append(-1)
    nextSibling.append(-1)
    if firstChild[guess.parent + 1] < 0 {
      firstChild[guess.parent + 1] = Int32(index)
    } else {
      var last = Int(firstChild[guess.parent + 1])
      while nextSibling[last] >= 0 { last = Int(nextSibling[last]) }
      nextSibling[last] = Int32(index)
    }
    return index
  }

  /// Says that the guesses after a guess, or after the sequence (-1), were drawn by chance: from which
  /// law and in which order, repetitions included. Each different one of them is a guess of its own.
  ///
  /// All of them must be there, whatever they are, for the engine to keep the distribution: whether
  /// guesses are added after a guess may depend on it and on what it follows, not on what they are.
  public mutating func setLaw(_ law: DraftLaw, after guess: Int) {
    precondition(guess >= -1 && guess < guesses.count, "the law of guesses after none")
    laws[guess] = law
  }

  func law(after guess: Int) -> DraftLaw? { laws[guess] }

  var hasLaws: Bool { !laws.isEmpty }

  /// Throws where a law is not one of the guesses that it is given for.
  func checkLaws(vocabulary: Int) throws(EngineError) {
    for (guess, law) in laws {
      var children: Set<Token> = []
      forEachChild(of: guess) { children.insert($1.token) }
      guard law.probabilities.count == vocabulary, children == Set(law.tokens),
        children.allSatisfy({ $0 >= 0 && Int($0) < vocabulary })
      else {
        throw EngineError(
          .argument,
          "the law of \(law.tokens.count) guesses has \(law.probabilities.count) probabilities for a "
            + "vocabulary of \(vocabulary), or is not that of the \(children.count) guesses there")
      }
    }
  }

  /// Calls `body` for the guesses that follow a guess, or the sequence itself (-1), best first.
  @inline(__always)
  func forEachChild(of parent: Int, _ body: (_ index: Int, _ guess: Guess) -> Void) {
    var next = Int(firstChild[parent + 1])
    while next >= 0 {
      body(next, guesses[next])
      next = Int(nextSibling[next])
    }
  }

  /// Without guesses outside a vocabulary and what follows them.
  func keeping(below vocabulary: Int) -> DraftProposal {
    if guesses.allSatisfy({ $0.token >= 0 && Int($0.token) < vocabulary }) { return self }
    var kept = DraftProposal()
    var places = [Int](repeating: -2, count: guesses.count)
    for (index, guess) in guesses.enumerated() {
      let parent = guess.parent < 0 ? -1 : places[guess.parent]
      guard guess.token >= 0, Int(guess.token) < vocabulary, parent > -2 else { continue }
      places[index] = kept.append(
        Guess(token: guess.token, parent: parent, rank: guess.rank, probability: guess.probability))
    }
    return kept
  }

  /// The guess of `token` after `parent`, if there is one.
  func child(of parent: Int, token: Token) -> Int? {
    var found: Int?
    forEachChild(of: parent) { index, guess in if guess.token == token { found = index } }
    return found
  }

  /// Tokens from the sequence's end to a guess.
  public func path(to guess: Int) -> [Token] {
    var path: [Token] = []
    var next = guess
    while next >= 0 {
      path.append(guesses[next].token)
      next = guesses[next].parent
    }
    return path.reversed()
  }
}

/// What one call of a drafter gives.
public struct DraftRound: Sendable {
  /// In the order of the sequences asked for.
  public var proposals: [DraftProposal]
  /// Tokens processed to guess.
  public var processedTokens: Int
  /// Whether time went into what is needed once, such as a prompt, so that the round's time says
  /// nothing about the next.
  public var isWarmUp: Bool

  public init(proposals: [DraftProposal], processedTokens: Int = 0, isWarmUp: Bool = false) {
    self.proposals = proposals
    self.processedTokens = processedTokens
    self.isWarmUp = isWarmUp
  }
}
