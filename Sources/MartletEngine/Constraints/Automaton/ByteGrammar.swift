/// What a constraint compiles to: rules that are minimal deterministic automata over bytes and over
/// calls of each other. It does not know of tokens.
///
/// One representation serves both kinds of constraint. A regular expression is one rule without
/// calls, and running it is one table look-up per byte. A JSON schema has a rule per object, array
/// and string, and a call where one stands inside another, so that recursion is finite and equal
/// parts are compiled once. Only what is alive is kept: every state of every rule can reach its end.
struct ByteGrammar: Sendable {
  /// A call: after `rule`, the caller goes on in `target`.
  struct Call: Sendable {
    let rule: Int32
    let target: Int32
  }

  let classes: ByteClasses
  /// `next[state * classes.count + class]`, or -1. States of all rules are numbered together.
  let next: [Int32]
  let isFinal: [Bool]
  /// Whether any byte is possible.
  let hasBytes: [Bool]
  /// Calls of a state: `calls[callStart[state] ..< callStart[state + 1]]`.
  let callStart: [Int32]
  let calls: [Call]
  /// Levels of rules inside rules that are needed before the end of the rule.
  let height: [Int32]
  /// The first state of each rule.
  let ruleStart: [Int32]
  let root: Int
  /// States that take almost anything; see ``WideStates``.
  let wide: WideStates

  var stateCount: Int { isFinal.count }

  /// Compiles the rules of a graph.
  ///
  /// Throws `argument` where a limit is exceeded, naming the rule, and when no text is possible.
  init(
    _ graph: PatternGraph, rules: [(name: String, body: PatternGraph.Fragment)], root: Int
  ) throws(EngineError) {
    let classes = ByteClasses(graph)
    var determiner = Determiniser(graph, classes)
    var automata: [RuleAutomaton] = []
    for rule in rules { automata.append(try determiner.automaton(of: rule.body, what: rule.name)) }

    // Calls of what cannot end are cut; then what cannot end itself goes.
    let ends = RuleHeights(automata, classes: classes.count)
    guard ends[root] != nil else {
      throw EngineError(
        .argument, "\(rules[root].name) allows no text at all; loosen what contradicts itself")
    }
    automata = automata.map { automaton in
      var kept = automaton
      kept.transitions.removeAll {
        let called = Int($0.label) - classes.count
        return called >= 0 && ends[called] == nil
      }
      return Minimiser.minimised(kept) ?? RuleAutomaton(isFinal: [false], transitions: [])
    }
    self.init(classes, automata, root: root)
  }

  private init(_ classes: ByteClasses, _ rules: [RuleAutomaton], root: Int) {
    let heights = RuleHeights(rules, classes: classes.count)
    var starts: [Int32] = []
    var total = 0
    for rule in rules {
      starts.append(Int32(total))
      total += rule.stateCount
    }
    var next = [Int32](repeating: -1, count: total * classes.count)
    var hasBytes = [Bool](repeating: false, count: total)
    var callsOf: [Int: [Call]] = [:]
    for (index, rule) in rules.enumerated() {
      let base = starts[index]
      for transition in rule.transitions {
        let tail = Int(base + transition.tail)
        let head = base + transition.head
        let called = Int(transition.label) - classes.count
        if called < 0 {
          next[tail * classes.count + Int(transition.label)] = head
          hasBytes[tail] = true
        } else {
          callsOf[tail, default: []].append(Call(rule: Int32(called), target: head))
        }
      }
    }
    var callStart: [Int32] = [0]
    var calls: [Call] = []
    for state in 0..<total {
      calls += callsOf[state] ?? []
      callStart.append(Int32(calls.count))
    }
    self.classes = classes
    self.next = next
    self.hasBytes = hasBytes
    self.callStart = callStart
    self.calls = calls
    self.root = root
    isFinal = rules.flatMap(\.isFinal)
    height = heights.heights.flatMap { $0 }
    ruleStart = starts
    wide = WideStates(next: next, classes: classes, height: height)
  }
}
