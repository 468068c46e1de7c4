/// How many levels of rules inside rules a state needs at least before its rule can end.
///
/// A rule without a height never ends: `{"a": itself}` with `a` required, for example. Bottleneck
/// shortest paths, level by level; linear in the number of transitions.
struct RuleHeights {
  /// Per rule and state; -1 where no end can be reached.
  private(set) var heights: [[Int32]]

  init(_ rules: [RuleAutomaton], classes: Int) {
    heights = rules.map { [Int32](repeating: -1, count: $0.stateCount) }
    let incoming = rules.map { Adjacency($0.stateCount, $0.transitions.map(\.head)) }
    var level: Int32 = 0
    var now: [(rule: Int, state: Int32)] = []
    for (rule, automaton) in rules.enumerated() {
      for state in 0..<automaton.stateCount where automaton.isFinal[state] {
        now.append((rule, Int32(state)))
      }
    }
    /// States that wait for the height of a rule they call.
    var waiting: [Int: [(rule: Int, state: Int32)]] = [:]
    while !now.isEmpty {
      var later: [(rule: Int, state: Int32)] = []
      while let (rule, state) = now.popLast() {
        guard heights[rule][Int(state)] < 0 else { continue }
        heights[rule][Int(state)] = level
        if state == 0 { later += waiting.removeValue(forKey: rule) ?? [] }
        for index in incoming[rule][Int(state)] {
          let transition = rules[rule].transitions[Int(index)]
          let tail = (rule: rule, state: transition.tail)
          guard heights[rule][Int(tail.state)] < 0 else { continue }
          let called = Int(transition.label) - classes
          if called < 0 || (heights[called][0] >= 0 && heights[called][0] < level) {
            now.append(tail)
          } else if heights[called][0] >= 0 {
            later.append(tail)
          } else {
            waiting[called, default: []].append(tail)
          }
        }
      }
      now = later
      level += 1
    }
  }

  /// The height of a rule; nil when it cannot end.
  subscript(_ rule: Int) -> Int32? { heights[rule][0] < 0 ? nil : heights[rule][0] }
}
