import MartletModel

/// A drafter that runs Medusa heads over the hidden state of each sequence's last processed token.
///
/// One pass of the heads gives the distributions of the next few places, whatever is drawn at the
/// places before; the tree takes the best paths through them, first at each place the token that the
/// run would draw from the head's row with the random number it will use there. Source: "Medusa:
/// Simple LLM Inference Acceleration Framework with Multiple Decoding Heads".
public final class MedusaDrafter: Drafter, @unchecked Sendable {
  // @unchecked: `propose` belongs to the driver thread, as `Drafter` says.
  public let name: String
  public var readsHiddenStates: Bool { true }

  private let forward: MedusaForward
  private let states: HiddenStateReader
  private var sampler = DraftSampler()
  private var scratch = GuessScratch()

  /// Guesses taken at one place after one path, and paths that are gone on from.
  private static let width = 3
  private static let mostExpansions = 10
  private static let leastReach: Float = 0.03

  /// A drafter for the model of `target`, which keeps its hidden states
  /// (``Engine/keepHiddenStates(byteLimit:)``).
  /// - Throws: `EngineError` `.argument` for a target without hidden states of the heads' width, or of
  ///   another vocabulary, `.memory`.
  public init(
    name: String, forward: MedusaForward, target: any Backend
  ) throws(EngineError) {
    self.name = name
    self.forward = forward
    states = try HiddenStateReader(
      name, of: target, width: forward.width, vocabularySize: forward.vocabularySize,
      rows: forward.maximumRows)
  }

  public func check(for backend: any Backend) throws(EngineError) {
    try states.check(for: backend)
  }

  public func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    var round = DraftRound(proposals: Array(repeating: DraftProposal(), count: sequences.count))
    var seats: [Int] = []
    func flush() throws(EngineError) {
      try forward.run(states.features, rows: seats.count)
      for (row, index) in seats.enumerated() {
        round.proposals[index] = tree(row, sequences[index], economy)
      }
      round.processedTokens += seats.count
      seats = []
    }
    for (index, sequence) in sequences.enumerated() {
      // The last token is not processed yet: it follows the feature, and guesses follow it.
      let position = sequence.tokens.count - 2
      guard sequence.depth > 0, sequence.nodes > 0,
        states.read(sequence.pages, slot: position, into: seats.count)
      else { continue }
      seats.append(index)
      if seats.count == forward.maximumRows { try flush() }
    }
    if !seats.isEmpty { try flush() }
    return round
  }

  /// The best paths through the heads' distributions.
  private func tree(
    _ row: Int, _ sequence: DraftSequence, _ economy: DraftEconomy
  ) -> DraftProposal {
    var proposal = DraftProposal()
    var reach: [Float] = []
    var depths: [Int] = []
    let deepest = min(sequence.depth, forward.headCount)
    func expand(_ parent: Int) {
      let depth = parent < 0 ? 0 : depths[parent]
      let path = proposal.path(to: parent)
      let choices = forward.withLogits(head: depth, row: row) { (row: Span<Float>) in
        scratch.choices(
          row, drawn: sequence.draw(row, after: path, with: &sampler), count: Self.width)
      }
      for (rank, choice) in choices.enumerated() where proposal.guesses.count < sequence.nodes {
        let chance = min(0.995, economy.probability(rank: rank, probability: choice.probability))
        let total = (parent < 0 ? 1 : reach[parent]) * chance
        guard total >= Self.leastReach else { continue }
        proposal.append(
          .init(token: choice.token, parent: parent, rank: rank, probability: choice.probability))
        reach.append(total)
        depths.append(depth + 1)
      }
    }
    expand(-1)
    var open = Array(reach.indices.filter { depths[$0] < deepest })
    for _ in 1..<Self.mostExpansions {
      guard let best = open.max(by: { (reach[$0], $1) < (reach[$1], $0) }) else { break }
      open.removeAll { $0 == best }
      let known = reach.count
      expand(best)
      open += (known..<reach.count).filter { depths[$0] < deepest }
    }
    return proposal
  }
}
