import HeapModule
import MartletModel

/// Grows draft trees for the branches of one pass, best guess first over all of them, as far as the
/// cost curve makes another row worth its time.
///
/// With r rows the pass takes cost(r) and is expected to yield one token per branch and, for each
/// drafted node, the probability that its whole path is drawn. The trees stop where what tokens are
/// worth per time is highest. Source: "EAGLE-2" (value of a node = product of confidences), "SEED" (one budget for
/// many trees). O(nodes · log nodes).
struct DraftPlanner {
  /// One branch that will decode its next token in the pass.
  struct Seat {
    var tail: TokenTail
    /// The most nodes in a row, and in all.
    var depth: Int
    var nodes: Int
    /// What a token gained is worth: 1, or less for a branch that is ahead of those it is waited for
    /// with.
    var worth: Double
    /// What a drafter guesses, for those after the sequence and further down.
    var proposal: DraftProposal?
  }

  private struct Candidate: Comparable {
    /// The probability of its path, and that times the worth of a token.
    var reach: Double
    var value: Double
    var seat: Int
    var parent: Int
    var depth: Int
    var token: Token
    var tail: TokenTail
    /// Its index in the seat's proposal; -2 where it is not from that.
    var proposed: Int

    static func < (a: Candidate, b: Candidate) -> Bool {
      (a.value, b.seat, b.parent, b.token) < (b.value, a.seat, a.parent, a.token)
    }
    static func == (a: Candidate, b: Candidate) -> Bool {
      a.value == b.value && a.seat == b.seat && a.parent == b.parent && a.token == b.token
    }
  }

  /// The nodes of one branch, parents before children.
  struct Plan {
    var tokens: [Token] = []
    var parents: [Int] = []
    var probabilities: [Double] = []
    /// What the guesses after a node were drawn from, by node, -1 for the sequence's end.
    var laws: [Int: DraftLaw] = [:]
  }

  /// The gain in tokens per time below which nothing is drafted: the curve is measured, and guesses
  /// and their bookkeeping are not free.
  private static let leastGain = 1.03
  /// What sure guesses would have to gain for guesses to be looked for.
  private static let leastPromise = 1.1
  /// Nodes tried beyond the best number, because the curve has steps.
  private static let lookahead = 8
  private static let leastValue = 0.02

  let cost: RowCost
  /// How often guesses of a drafter come true.
  var calibration = GuessCalibration()

  /// How many rows could pay at all: 0 where even a sure guess would not.
  func usefulRows(rows: Int, branches: Int, limit: Int) -> Int {
    guard rows < limit else { return 0 }
    let plain = Double(branches) / cost(rows)
    for more in 1...max(1, min(Self.lookahead, limit - rows)) {
      let rate = Double(branches + more) / cost(rows + more)
      if rate > plain * Self.leastPromise { return limit - rows }
    }
    return 0
  }

  /// Trees for `seats`, one plan each (empty for none). `rows` is the pass without drafts, of which
  /// one per seat; `limit` the most rows of it.
  func plan(
    _ seats: [Seat], rows: Int, limit: Int,
    guesses: (_ seat: Int, _ tail: TokenTail) -> DraftGuesses
  ) -> [Plan] {
    var plans = [Plan](repeating: Plan(), count: seats.count)
    var heap = Heap<Candidate>()
    func push(
      _ seat: Int, _ parent: Int, _ depth: Int, _ tail: TokenTail, _ reach: Double, _ proposed: Int
    ) {
      guard depth < seats[seat].depth else { return }
      func insert(_ token: Token, _ probability: Double, _ proposed: Int) {
        let reach = reach * min(0.99, probability)
        let value = reach * seats[seat].worth
        guard value >= Self.leastValue else { return }
        heap.insert(
          Candidate(
            reach: reach, value: value, seat: seat, parent: parent, depth: depth + 1,
            token: token, tail: tail.pushing(token), proposed: proposed))
      }
      let guesses = guesses(seat, tail)
      var chances: [(token: Token, probability: Double, proposed: Int)] = []
      if proposed > -2, let proposal = seats[seat].proposal {
        proposal.forEachChild(of: proposed) { index, guess in
          let probability = calibration.probability(rank: guess.rank, guess.probability)
          chances.append((guess.token, Double(probability), index))
        }
      }
      // Of a text and a model whoever is surer is heard; both could be right, but never about
      // different tokens.
      let most = chances.reduce(0) { max($0, $1.probability) }
      if !chances.isEmpty && most >= Double(guesses.most) {
        for chance in chances { insert(chance.token, chance.probability, chance.proposed) }
      } else {
        for i in 0..<4 where guesses.tokens[i] >= 0 {
          let known = chances.first { $0.token == guesses.tokens[i] }?.proposed
          insert(guesses.tokens[i], Double(guesses.probabilities[i]), known ?? -2)
        }
      }
    }
    for (seat, state) in seats.enumerated() where state.nodes > 0 {
      push(seat, -1, 0, state.tail, 1, state.proposal == nil ? -2 : -1)
    }

    var expected = Double(seats.count)
    let plain = expected / cost(rows)
    var best = (rate: plain * Self.leastGain, nodes: 0)
    var order: [Int] = []
    var costs: [Double] = []
    /// Whether nodes worth `value` each, and none after them is worth more, could beat the best so far.
    func canGain(_ value: Double) -> Bool {
      for more in 1...Self.lookahead {
        let count = order.count + more
        while costs.count < count { costs.append(cost(rows + costs.count + 1)) }
        if (expected + Double(more) * value) > best.rate * costs[count - 1] { return true }
      }
      return false
    }
    while rows + order.count < limit, let next = heap.popMax() {
      guard canGain(next.value) else { break }
      guard plans[next.seat].tokens.count < seats[next.seat].nodes else { continue }
      let node = plans[next.seat].tokens.count
      plans[next.seat].tokens.append(next.token)
      plans[next.seat].parents.append(next.parent)
      plans[next.seat].probabilities.append(next.reach)
      order.append(next.seat)
      push(next.seat, node, next.depth, next.tail, next.reach, next.proposed)
      expected += next.value
      let rate = expected / costs[order.count - 1]
      if rate > best.rate { best = (rate, order.count) }
      if order.count - best.nodes >= Self.lookahead { break }
    }
    for seat in order[best.nodes...] {
      plans[seat].tokens.removeLast()
      plans[seat].parents.removeLast()
      plans[seat].probabilities.removeLast()
    }
    return plans
  }
}
