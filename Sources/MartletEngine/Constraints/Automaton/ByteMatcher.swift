/// Runs a grammar over bytes, and remembers every place it has been.
///
/// A *place* is all that the text so far means: a set of frames, each a state of a rule and the set
/// of frames that wait for that rule to end. Equal places have equal numbers, whichever text led to
/// them, so a step that was made once is a table look-up ever after, forks share everything, and a
/// branch's whole state is one number per token. Callers of one rule at one place wait in one set:
/// that keeps ambiguous grammars polynomial, where a list of stacks would double at every level.
///
/// Sources: "An Efficient Context-Free Parsing Algorithm" (Earley), whose sets with origins these
/// are; "Efficient LR Parsing" style graph-structured stacks (Tomita); lazily built automata as in
/// RE2.
struct ByteMatcher: Sendable {
  let grammar: ByteGrammar
  /// The most levels of values inside values. Readers of JSON have such limits too.
  static let depthLimit: Int32 = 256

  /// `state << 32 | parents`; the frame that ``accepts`` marks a place where the text may end.
  typealias Frame = UInt64
  private static let accepts: Frame = .max

  /// A place where nothing is possible.
  static let dead: Int32 = -1
  /// A step that was not made yet.
  private static let unknown: Int32 = -2

  private var sets: [[Frame]] = []
  private var numbers: [[Frame]: Int32] = [:]
  /// Levels above a set of waiting frames.
  private var depth: [Int32] = []
  /// Where a place's steps begin in `steps`, or -1.
  private var rows: [Int32] = []
  /// The wide state of a place, -1 for none, or ``unknown``.
  private var wideStates: [Int32] = []
  private var steps: [Int32] = []

  /// The place before any text.
  private(set) var start: Int32 = 0

  /// Roughly the bytes of all that is remembered.
  private(set) var byteCount = 0

  init(_ grammar: ByteGrammar) {
    self.grammar = grammar
    _ = number(of: [], depth: 0)  // Who waits for the root: nobody.
    start = closed([Frame(grammar.ruleStart[grammar.root]) << 32])
  }

  /// How many places and sets are remembered.
  var placeCount: Int { sets.count }

  /// Whether the text may end here.
  func accepts(_ place: Int32) -> Bool { sets[Int(place)].last == Self.accepts }

  /// Whether the text must end here: no byte is possible.
  func isComplete(_ place: Int32) -> Bool { sets[Int(place)] == [Self.accepts] }

  /// The place after one byte, or ``dead``.
  mutating func step(_ place: Int32, _ byte: UInt8) -> Int32 {
    step(row: row(of: place), of: place, Int(grammar.classes.classOf[Int(byte)]))
  }

  /// The place after some bytes, or ``dead``.
  mutating func step(_ place: Int32, _ bytes: some Sequence<UInt8>) -> Int32 {
    var at = place
    for byte in bytes {
      at = step(at, byte)
      if at == Self.dead { break }
    }
    return at
  }

  /// Where the steps of a place begin; pass it to ``step(row:of:_:)``.
  mutating func row(of place: Int32) -> Int32 {
    let known = rows[Int(place)]
    if known >= 0 { return known }
    let row = Int32(steps.count)
    steps.append(contentsOf: repeatElement(Self.unknown, count: grammar.classes.count))
    rows[Int(place)] = row
    byteCount += grammar.classes.count * 4
    return row
  }

  /// The place after a byte of a class, or ``dead``.
  @inline(__always)
  mutating func step(row: Int32, of place: Int32, _ column: Int) -> Int32 {
    let known = steps[Int(row) + column]
    return known != Self.unknown ? known : makeStep(row, place, column)
  }

  /// Classes of bytes that can come, without making the steps. Stops after `most`.
  func possibleClasses(_ place: Int32, most: Int) -> [Int] {
    var result: [Int] = []
    for column in 0..<grammar.classes.count where result.count < most {
      let isPossible = sets[Int(place)].contains { frame in
        frame != Self.accepts && target(frame, column) >= 0
      }
      if isPossible { result.append(column) }
    }
    return result
  }

  /// The wide state that takes most among the frames of a place, or -1.
  mutating func wideState(_ place: Int32) -> Int32 {
    let known = wideStates[Int(place)]
    if known != Self.unknown { return known }
    let state = findWideState(place) ?? -1
    wideStates[Int(place)] = state
    return state
  }

  private func findWideState(_ place: Int32) -> Int32? {
    let wide = grammar.wide
    var best: Int32?
    var most = 0
    for frame in sets[Int(place)] where frame != Self.accepts {
      let state = Int(frame >> 32)
      guard wide.run[state] > 0 else { continue }
      let count = wide.low[state].nonzeroBitCount + wide.high[state].nonzeroBitCount
      if count > most { (best, most) = (Int32(state), count) }
    }
    return best
  }

  // MARK: Making steps

  /// Where a frame goes on a byte class, or -1; not beyond the depth from which its rules end in
  /// time.
  private func target(_ frame: Frame, _ column: Int) -> Int32 {
    let next = grammar.next[Int(frame >> 32) * grammar.classes.count + column]
    guard next >= 0 else { return -1 }
    return depth[Self.parents(frame)] + grammar.height[Int(next)] <= Self.depthLimit ? next : -1
  }

  private static func parents(_ frame: Frame) -> Int { Int(frame & 0xFFFF_FFFF) }

  private mutating func makeStep(_ row: Int32, _ place: Int32, _ column: Int) -> Int32 {
    var kernel: [Frame] = []
    for frame in sets[Int(place)] where frame != Self.accepts {
      let next = target(frame, column)
      guard next >= 0 else { continue }
      let moved = Frame(next) << 32 | (frame & 0xFFFF_FFFF)
      if !kernel.contains(moved) { kernel.append(moved) }
    }
    let result = kernel.isEmpty ? Self.dead : closed(kernel)
    steps[Int(row) + column] = result
    return result
  }

  /// The place of frames after rules that end have gone back to who waits for them, and rules that
  /// are called have begun. No rule is empty, so none that begins here ends here; and no rule but
  /// the root begins with a call.
  private mutating func closed(_ kernel: [Frame]) -> Int32 {
    var frames = kernel
    var known = Set(kernel)
    var mayEnd = false
    var at = 0
    while at < frames.count {
      let frame = frames[at]
      at += 1
      guard grammar.isFinal[Int(frame >> 32)] else { continue }
      let parents = Self.parents(frame)
      if parents == 0 { mayEnd = true }
      for waiting in sets[parents] where known.insert(waiting).inserted { frames.append(waiting) }
    }
    for (rule, waiting) in callers(frames) {
      let level = waiting.reduce(0) { max($0, depth[Self.parents($1)]) }
      let parents = number(of: waiting, depth: level + 1)
      frames.append(Frame(grammar.ruleStart[rule]) << 32 | Frame(parents))
    }
    frames.removeAll { !grammar.hasBytes[Int($0 >> 32)] }
    frames.sort()
    if mayEnd { frames.append(Self.accepts) }
    return number(of: frames, depth: 0)
  }

  /// Who waits for each rule that is called, by rule.
  private func callers(_ frames: [Frame]) -> [(rule: Int, waiting: [Frame])] {
    var waiting: [Int: Set<Frame>] = [:]
    for frame in frames {
      let state = Int(frame >> 32)
      let level = depth[Self.parents(frame)]
      for call in grammar.calls[Int(grammar.callStart[state])..<Int(grammar.callStart[state + 1])] {
        let start = Int(grammar.ruleStart[Int(call.rule)])
        guard level + 1 + grammar.height[start] <= Self.depthLimit,
          level + grammar.height[Int(call.target)] <= Self.depthLimit
        else { continue }
        waiting[Int(call.rule), default: []].insert(
          Frame(call.target) << 32 | (frame & 0xFFFF_FFFF))
      }
    }
    return waiting.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted()) }
  }

  private mutating func number(of set: [Frame], depth level: Int32) -> Int32 {
    if let known = numbers[set] { return known }
    let number = Int32(sets.count)
    sets.append(set)
    numbers[set] = number
    depth.append(level)
    rows.append(-1)
    wideStates.append(Self.unknown)
    byteCount += set.count * 8 + 120
    return number
  }
}
