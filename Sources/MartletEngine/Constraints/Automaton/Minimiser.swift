/// Makes an automaton as small as it can be: states from which no end can be reached are dropped,
/// and states that the same texts lead to an end from become one.
///
/// O(m log m) in the number of transitions. Source: "Fast brief practical DFA minimization"
/// (Valmari), which takes partial automata as they are.
struct Minimiser {
  /// A partition of 0 ..< n that is refined by marking elements and splitting them off.
  private struct Partition {
    var elements: [Int32]
    private var location: [Int32]
    var setOf: [Int32]
    var first: [Int32]
    var past: [Int32]
    private var marked: [Int32]
    private var touched: [Int32] = []

    var count: Int { first.count }

    /// One set per distinct key, in order of the keys.
    init(keys: [Int32]) {
      let order = keys.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
      elements = order.map(Int32.init)
      location = [Int32](repeating: 0, count: keys.count)
      setOf = location
      first = []
      past = []
      for (place, element) in order.enumerated() {
        location[element] = Int32(place)
        if place == 0 || keys[order[place - 1]] != keys[element] {
          if place > 0 { past.append(Int32(place)) }
          first.append(Int32(place))
        }
        setOf[element] = Int32(first.count - 1)
      }
      if !keys.isEmpty { past.append(Int32(keys.count)) }
      marked = [Int32](repeating: 0, count: first.count)
    }

    mutating func mark(_ element: Int32) {
      let set = Int(setOf[Int(element)])
      let from = Int(location[Int(element)])
      let to = Int(first[set] + marked[set])
      guard from >= to else { return }  // Marked before.
      elements[from] = elements[to]
      location[Int(elements[from])] = Int32(from)
      elements[to] = element
      location[Int(element)] = Int32(to)
      if marked[set] == 0 { touched.append(Int32(set)) }
      marked[set] += 1
    }

    /// Splits the marked off where that divides a set; the smaller part becomes the new set.
    mutating func split() {
      while let touchedSet = touched.popLast() {
        let set = Int(touchedSet)
        let middle = first[set] + marked[set]
        if middle == past[set] {
          marked[set] = 0
          continue
        }
        if marked[set] <= past[set] - middle {
          first.append(first[set])
          past.append(middle)
          first[set] = middle
        } else {
          first.append(middle)
          past.append(past[set])
          past[set] = middle
        }
        let new = Int32(first.count - 1)
        for i in first[Int(new)]..<past[Int(new)] { setOf[Int(elements[Int(i)])] = new }
        marked[set] = 0
        marked.append(0)
      }
    }
  }

  /// The minimal automaton; nil when it accepts nothing.
  static func minimised(_ automaton: RuleAutomaton) -> RuleAutomaton? {
    guard let trimmed = trimmed(automaton) else { return nil }
    let transitions = trimmed.transitions
    var blocks = Partition(keys: trimmed.isFinal.map { $0 ? 0 : 1 })
    var cords = Partition(keys: transitions.map(\.label))
    let incoming = Adjacency(trimmed.stateCount, transitions.map(\.head))

    var block = 1
    var cord = 0
    while cord < cords.count {
      for i in cords.first[cord]..<cords.past[cord] {
        blocks.mark(transitions[Int(cords.elements[Int(i)])].tail)
      }
      blocks.split()
      cord += 1
      while block < blocks.count {
        for i in blocks.first[block]..<blocks.past[block] {
          for transition in incoming[Int(blocks.elements[Int(i)])] { cords.mark(transition) }
        }
        cords.split()
        block += 1
      }
    }
    return quotient(trimmed, by: blocks.setOf, count: blocks.count)
  }

  /// One state per block, the start's first, the rest in order of their first states.
  private static func quotient(
    _ automaton: RuleAutomaton, by blockOf: [Int32], count: Int
  ) -> RuleAutomaton {
    var number = [Int32](repeating: -1, count: count)
    var isFinal: [Bool] = []
    var representative: [Int] = []
    for state in 0..<automaton.stateCount where number[Int(blockOf[state])] < 0 {
      number[Int(blockOf[state])] = Int32(isFinal.count)
      isFinal.append(automaton.isFinal[state])
      representative.append(state)
    }
    var transitions: [RuleAutomaton.Transition] = []
    for transition in automaton.transitions {
      let tail = number[Int(blockOf[Int(transition.tail)])]
      guard representative[Int(tail)] == Int(transition.tail) else { continue }
      transitions.append(
        .init(
          tail: tail, label: transition.label, head: number[Int(blockOf[Int(transition.head)])]))
    }
    return RuleAutomaton(isFinal: isFinal, transitions: transitions)
  }

  /// Without states that the start does not reach or that reach no end; nil when that is the start.
  private static func trimmed(_ automaton: RuleAutomaton) -> RuleAutomaton? {
    let count = automaton.stateCount
    let transitions = automaton.transitions
    let forward = Adjacency(count, transitions.map(\.tail))
    let backward = Adjacency(count, transitions.map(\.head))
    let ends = (0..<count).filter { automaton.isFinal[$0] }.map(Int32.init)
    let reached = flood([0], forward, count) { transitions[Int($0)].head }
    let useful = flood(ends, backward, count) { transitions[Int($0)].tail }
    guard useful[0] else { return nil }
    var number = [Int32](repeating: -1, count: count)
    var isFinal: [Bool] = []
    for state in 0..<count where reached[state] && useful[state] {
      number[state] = Int32(isFinal.count)
      isFinal.append(automaton.isFinal[state])
    }
    let kept = transitions.compactMap { transition -> RuleAutomaton.Transition? in
      let (tail, head) = (number[Int(transition.tail)], number[Int(transition.head)])
      return tail >= 0 && head >= 0 ? .init(tail: tail, label: transition.label, head: head) : nil
    }
    return RuleAutomaton(isFinal: isFinal, transitions: kept)
  }

  private static func flood(
    _ seeds: [Int32], _ adjacency: Adjacency, _ count: Int, _ next: (Int32) -> Int32
  ) -> [Bool] {
    var seen = [Bool](repeating: false, count: count)
    var pending = seeds
    for seed in seeds { seen[Int(seed)] = true }
    while let state = pending.popLast() {
      for transition in adjacency[Int(state)] {
        let other = next(transition)
        guard !seen[Int(other)] else { continue }
        seen[Int(other)] = true
        pending.append(other)
      }
    }
    return seen
  }
}

/// The transitions of each state, by one of their ends.
struct Adjacency {
  private let start: [Int32]
  private let items: [Int32]

  init(_ count: Int, _ keys: [Int32]) {
    var start = [Int32](repeating: 0, count: count + 1)
    for key in keys { start[Int(key) + 1] += 1 }
    for i in 0..<count { start[i + 1] += start[i] }
    var next = start
    var items = [Int32](repeating: 0, count: keys.count)
    for (i, key) in keys.enumerated() {
      items[Int(next[Int(key)])] = Int32(i)
      next[Int(key)] += 1
    }
    self.start = start
    self.items = items
  }

  subscript(_ state: Int) -> ArraySlice<Int32> {
    items[Int(start[state])..<Int(start[state + 1])]
  }
}
