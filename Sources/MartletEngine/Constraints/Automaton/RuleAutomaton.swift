/// A deterministic automaton of one rule. State 0 is the start.
///
/// Labels below the number of byte classes are classes; the others, less that number, are rules
/// that are called. A state has at most one transition per label.
struct RuleAutomaton: Sendable {
  struct Transition: Sendable {
    var tail: Int32
    var label: Int32
    var head: Int32
  }

  var isFinal: [Bool]
  var transitions: [Transition]

  var stateCount: Int { isFinal.count }

  /// The most states a rule may have; memory and time are bounded by it.
  static let stateLimit = 100_000
  /// The most edges that making a rule deterministic may look at: seconds, not minutes.
  static let workLimit = 10_000_000
}

/// Makes the rules of a graph deterministic by subset construction.
struct Determiniser {
  private let graph: PatternGraph
  private let classes: ByteClasses
  /// The last closure that visited a node.
  private var stamps: [Int32]
  private var stamp: Int32 = 0
  private var work = 0
  /// The classes of each byte range.
  private var byteLabels: [Int32: Set<Int32>] = [:]

  init(_ graph: PatternGraph, _ classes: ByteClasses) {
    self.graph = graph
    self.classes = classes
    stamps = [Int32](repeating: 0, count: graph.firstEdge.count)
    for edge in graph.edges where edge.label >= 0 && byteLabels[edge.label] == nil {
      let bytes = (edge.label & 0xFF)...(edge.label >> 8)
      byteLabels[edge.label] = Set(bytes.map { Int32(classes.classOf[Int($0)]) })
    }
  }

  /// Throws `argument` when `what` needs more states or more time than the limits allow.
  mutating func automaton(
    of fragment: PatternGraph.Fragment, what: String
  ) throws(EngineError) -> RuleAutomaton {
    var sets: [[Int32]] = []
    var ids: [[Int32]: Int32] = [:]
    var result = RuleAutomaton(isFinal: [], transitions: [])
    func add(_ set: [Int32]) -> Int32 {
      let id = Int32(sets.count)
      sets.append(set)
      ids[set] = id
      result.isFinal.append(set.contains(fragment.end))
      return id
    }
    work = 0
    _ = add(closure([fragment.start], end: fragment.end))
    var byLabel: [Int32: [Int32]] = [:]
    var at = 0
    while at < sets.count {
      byLabel.removeAll(keepingCapacity: true)
      collect(sets[at], into: &byLabel)
      for label in byLabel.keys.sorted() {
        let set = closure(byLabel[label]!, end: fragment.end)
        let head = ids[set] ?? add(set)
        result.transitions.append(.init(tail: Int32(at), label: label, head: head))
      }
      guard sets.count <= RuleAutomaton.stateLimit else {
        throw EngineError(
          .argument,
          "\(what) needs more than \(RuleAutomaton.stateLimit) states, the limit (after "
            + "\(at) of them \(sets.count) were known); use smaller repetition counts or lengths")
      }
      guard work <= RuleAutomaton.workLimit else {
        throw EngineError(
          .argument,
          "\(what) takes too long to make deterministic: \(sets.count) states needed "
            + "\(work) steps, the limit is \(RuleAutomaton.workLimit); use fewer overlapping "
            + "repetitions")
      }
      at += 1
    }
    return result
  }

  private mutating func collect(_ set: [Int32], into byLabel: inout [Int32: [Int32]]) {
    for node in set {
      var edge = graph.firstEdge[Int(node)]
      while edge >= 0 {
        let current = graph.edges[Int(edge)]
        work += 1
        if current.label >= 0 {
          for label in byteLabels[current.label]! {
            work += 1
            byLabel[label, default: []].append(current.target)
          }
        } else if current.label != PatternGraph.nothing {
          let rule = -2 - current.label
          byLabel[Int32(classes.count) + rule, default: []].append(current.target)
        }
        edge = current.next
      }
    }
  }

  /// The nodes that can be reached on nothing, sorted; only those that do something are kept.
  private mutating func closure(_ nodes: [Int32], end: Int32) -> [Int32] {
    stamp += 1
    var pending = nodes
    var result: [Int32] = []
    while let node = pending.popLast() {
      guard stamps[Int(node)] != stamp else { continue }
      stamps[Int(node)] = stamp
      var edge = graph.firstEdge[Int(node)]
      var matters = node == end
      while edge >= 0 {
        let current = graph.edges[Int(edge)]
        work += 1
        if current.label == PatternGraph.nothing {
          pending.append(current.target)
        } else {
          matters = true
        }
        edge = current.next
      }
      if matters { result.append(node) }
    }
    result.sort()
    return result
  }
}
