import MartletKernels

/// When positions leave, and which. A rule of pages at absolute positions and of the prompt, so that what
/// is left does not depend on passes.
enum EvictionRule: Sendable {
  case heavyHitters(AttentionMethod.HeavyHitters)
  case importance(AttentionMethod.Importance)

  private static let size = KVSlab.pageTokens

  /// Whether a generated token leaves anything out; `full` are the prompt's full pages.
  func prunes(position: Int, full: Int) -> Bool {
    switch self {
    case .heavyHitters(let rule):
      firstRecent(page: position / Self.size, full: full) > rule.heavy
    case .importance(let rule):
      full * Self.size >= rule.minimumPositions && kept(full, rule) < full * Self.size
    }
  }

  /// The page after which it was decided what a token of page `page` attends to.
  func decisive(page: Int, full: Int) -> Int {
    switch self {
    case .heavyHitters: page - 1
    case .importance: full - 1
    }
  }

  /// From where on a token of page `page` attends to everything.
  func firstRecent(page: Int, full: Int) -> Int {
    switch self {
    case .heavyHitters(let rule): max(0, page * Self.size - rule.recent) / Self.size * Self.size
    case .importance(let rule): max(0, full * Self.size - rule.recent) / Self.size * Self.size
    }
  }

  /// Whether the last query of a page counts.
  func observes(page: Int, full: Int) -> Bool {
    switch self {
    case .heavyHitters: true
    case .importance: page < full && page >= full - AttentionMethod.Importance.observers
    }
  }

  /// Drops what leaves once page `page` is full.
  func trim(_ state: inout KeptHead, page: Int, full: Int) {
    guard page >= full - 1 else { return }
    let end = firstRecent(page: page + 1, full: full)
    let old = state.positions.firstIndex { $0 >= end } ?? state.positions.count
    switch self {
    case .heavyHitters(let rule):
      if old > rule.heavy {
        state.keep(KeptHead.best(rule.heavy, of: state.scores[0].prefix(old)), before: old)
      }
    case .importance(let rule):
      guard full * Self.size >= rule.minimumPositions else { return }
      let sinks = min(old, rule.sinks)
      let wanted = max(sinks, kept(full, rule) - (state.positions.count - old))
      guard page == full - 1, old > wanted else { return }
      var scores = mixed(state, rule)
      // Sinks come first among all.
      for index in 0..<sinks { scores[index] = .infinity }
      state.keep(KeptHead.best(wanted, of: scores.prefix(old)), before: old)
      state.forgetScores()
    }
  }

  /// Positions of a prompt that stay, first and recent ones included.
  private func kept(_ full: Int, _ rule: AttentionMethod.Importance) -> Int {
    let all = full * Self.size
    return min(all, max(rule.sinks + rule.recent, Int((rule.share * Double(all)).rounded(.up))))
  }

  private func mixed(_ state: KeptHead, _ rule: AttentionMethod.Importance) -> [Float] {
    var mixed = [Float](repeating: 0, count: state.positions.count)
    for (scores, factor) in zip(state.scores, [rule.attention, rule.entropy, rule.sensitivity]) {
      let largest = scores.max() ?? 0
      guard largest > 0 else { continue }
      for index in mixed.indices { mixed[index] += Float(factor) * (scores[index] / largest) }
    }
    return mixed
  }

  var components: Int {
    switch self {
    case .heavyHitters: 1
    case .importance: 3
    }
  }
}

/// What one key-value head still has, ascending, and what each position was worth so far.
struct KeptHead: Sendable {
  private(set) var positions: [UInt32] = []
  var scores: [[Float]]
  /// ‖v‖ of each position, where a rule asks for it.
  var norms: [Float] = []

  init(components: Int) { scores = Array(repeating: [], count: components) }

  /// Takes in the positions of a page.
  mutating func append(page: Int) {
    let first = UInt32(page * KVSlab.pageTokens)
    positions.append(contentsOf: first..<first + UInt32(KVSlab.pageTokens))
    for index in scores.indices {
      scores[index].append(contentsOf: repeatElement(0, count: KVSlab.pageTokens))
    }
  }

  /// Keeps of the first `count` positions those at `indices` (ascending), and all after them.
  mutating func keep(_ indices: [Int], before count: Int) {
    func kept<T>(_ all: [T]) -> [T] { indices.map { all[$0] } + all[count...] }
    positions = kept(positions)
    for index in scores.indices { scores[index] = kept(scores[index]) }
    if !norms.isEmpty { norms = kept(norms) }
  }

  /// What was decided stays.
  mutating func forgetScores() {
    for index in scores.indices { scores[index] = [] }
    norms = []
  }

  /// The places of the `count` largest, of equal ones the first; ascending. NaN is the least.
  static func best(_ count: Int, of scores: ArraySlice<Float>) -> [Int] {
    guard count < scores.count else { return Array(scores.indices) }
    guard count > 0 else { return [] }
    let known = scores.map { $0.isNaN ? -.infinity : $0 }
    let least = known.sorted()[known.count - count]
    var equal = count - known.count { $0 > least }
    var places: [Int] = []
    places.reserveCapacity(count)
    for (offset, score) in known.enumerated() where score >= least {
      if score == least {
        guard equal > 0 else { continue }
        equal -= 1
      }
      places.append(scores.startIndex + offset)
    }
    return places
  }
}

/// What all heads have once a page is full.
final class KeptPositions: Sendable {
  /// The prompt's full pages.
  let full: Int
  /// By layer and key-value head.
  let heads: [KeptHead]

  init(full: Int, heads: [KeptHead]) {
    self.full = full
    self.heads = heads
  }
}

extension AttentionMethod {
  /// Whether prompts themselves are processed otherwise than with exact attention.
  public var prunesPrompts: Bool {
    if case .pruned = self { true } else { false }
  }

  /// Its rule of eviction, if it has one.
  var eviction: EvictionRule? {
    switch self {
    case .heavyHitters(let rule): .heavyHitters(rule)
    case .importance(let rule): .importance(rule)
    default: nil
    }
  }
}
