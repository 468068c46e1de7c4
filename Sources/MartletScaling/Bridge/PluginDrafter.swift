import CMartlet
public import Logging
public import MartletEngine

/// A drafter that comes from a plugin.
public final class PluginDrafter: Drafter {
  /// Guesses per sequence that there is room for.
  private static let most = 32

  public let name: String
  private let instance: TextInstance

  /// Loads the drafter of that id.
  /// - Throws: `notFound`, `refused`, `option`, or `plugin` when it fails to begin.
  public init(
    _ id: String, options: [String: String] = [:], plugins: PluginHost,
    logger: Logger = Logger(label: "martlet.drafter")
  ) throws(ScalingError) {
    let chosen = try plugins.choose(.drafter, id, options: options)
    name = "plugin=\(id)"
    let functions = chosen.component.functions.load(as: martlet_drafter.self)
    do throws(HostFailure) {
      instance = try TextInstance(
        chosen.component, create: functions.create, destroy: functions.destroy,
        options: chosen.options, run: nil, logger: logger)
    } catch {
      throw ScalingError(.plugin, error.message)
    }
  }

  deinit { instance.end() }

  public func propose(
    _ sequences: [DraftSequence], economy: DraftEconomy
  ) throws(EngineError) -> DraftRound {
    let room = sequences.map(\.nodes).max() ?? 0
    guard room > 0 else { return DraftRound(proposals: sequences.map { _ in DraftProposal() }) }
    let guesses = try guesses(
      after: sequences.map { ($0.id, $0.tokens, $0.depth) }, most: min(Self.most, room))
    var proposals: [DraftProposal] = []
    for (sequence, guesses) in zip(sequences, guesses) {
      var proposal = DraftProposal()
      var ranks: [Int32: Int] = [:]
      for guess in guesses.prefix(sequence.nodes) {
        let rank = ranks[guess.parent, default: 0]
        ranks[guess.parent] = rank + 1
        proposal.append(
          .init(
            token: guess.token, parent: Int(guess.parent), rank: rank,
            probability: guess.probability))
      }
      proposals.append(proposal)
    }
    return DraftRound(proposals: proposals)
  }

  /// Asks the plugin, and checks what it says.
  package func guesses(
    after sequences: [(id: UInt64, tokens: [Int32], depth: Int)], most: Int
  ) throws(EngineError) -> [[martlet_guess]] {
    // One array lends all tokens at once.
    let all = sequences.flatMap(\.tokens)
    var guesses = [martlet_guess](repeating: martlet_guess(), count: sequences.count * most)
    var counts = [UInt32](repeating: 0, count: sequences.count)
    let status = all.withUnsafeBufferPointer { all in
      var start = 0
      let views = sequences.map { sequence in
        defer { start += sequence.tokens.count }
        return martlet_draft_sequence(
          size: UInt32(MemoryLayout<martlet_draft_sequence>.size),
          depth: UInt32(clamping: sequence.depth), id: sequence.id,
          tokens: all.baseAddress.map { $0 + start }, token_count: sequence.tokens.count)
      }
      let functions = instance.component.functions.load(as: martlet_drafter.self)
      return instance.call { pointer in
        functions.propose(
          pointer, views, UInt32(views.count), UInt32(most), &guesses, &counts)
      }
    }
    do throws(HostFailure) {
      try instance.check(status, "propose")
    } catch {
      throw EngineError(.backend, error.message)
    }
    var result: [[martlet_guess]] = []
    for (index, count) in counts.enumerated() {
      guard count <= most else { throw fault("\(count) guesses where there is room for \(most)") }
      let own = Array(guesses[index * most..<index * most + Int(count)])
      for (place, guess) in own.enumerated() {
        guard guess.parent >= -1, guess.parent < place else {
          throw fault("guess \(place) that follows guess \(guess.parent)")
        }
        guard guess.token >= 0, guess.probability >= 0, guess.probability <= 1 else {
          throw fault("token \(guess.token) with probability \(guess.probability)")
        }
      }
      result.append(own)
    }
    return result
  }

  private func fault(_ what: String) -> EngineError {
    EngineError(.backend, "drafter '\(instance.scope.id)' gave \(what)")
  }
}
