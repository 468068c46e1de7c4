import MartletScaling

/// What a new plugin in Swift consists of.
enum SwiftPluginText {
  static let package = #"""
    // swift-tools-version: 6.2
    import PackageDescription

    // The author kit: a checkout of Martlet, or lib/martlet/plugin-kit of an installation.
    let kit = Context.environment["MARTLET_KIT"] ?? "{{kit}}"
    let kitName = String(kit.split(separator: "/").last ?? "plugin-kit")

    let package = Package(
      name: "{{name}}",
      products: [.library(name: "{{module}}", type: .dynamic, targets: ["{{module}}"])],
      dependencies: [.package(path: kit)],
      targets: [
        .target(
          name: "{{module}}",
          dependencies: [.product(name: "MartletPlugin", package: kitName)],
          resources: [.copy("{{manifest}}")]),
        .testTarget(name: "{{module}}Tests", dependencies: ["{{module}}"]),
      ]
    )

    """#

  static let makefile = """
    MARTLET ?= martlet
    PLUGINDIR ?= $(HOME)/.local/share/martlet/plugins
    # Of what is installed; tests are built for debugging.
    CONFIGURATION ?= release

    .PHONY: build test install clean

    build:
    \tswift build -c $(CONFIGURATION)

    ## The unit tests, then every rule of the plugin interface on a simulated model.
    test:
    \tswift build
    \tswift test
    \t$(MARTLET) plugin check .build/debug

    install: build
    \tinstall -d -m 755 "$(PLUGINDIR)"
    \tinstall -m 755 .build/$(CONFIGURATION)/{{library}} "$(PLUGINDIR)"
    \tinstall -m 644 Sources/{{module}}/{{manifest}} "$(PLUGINDIR)"

    clean:
    \trm -rf .build

    """

  static let entry = """
    import MartletPlugin

    private let plugin = Plugin(id: "{{id}}", version: "0.1.0", [.{{kind}}({{type}}.self)])

    /// What the host calls after loading the library.
    @c(martlet_plugin_entry)
    public func entry(_ major: UInt32, _ minor: UInt32) -> PluginDescriptor? {
      plugin.descriptor(major, minor)
    }

    """

  static func source(_ kind: ComponentKind) -> String {
    switch kind {
    case .strategy:
      """
      import MartletPlugin

      /// {{what}}
      ///
      /// Ties go to the earlier answer. When the budget ends early, whatever there is by then is judged.
      struct {{type}}: Strategy {
        static let id = "{{id}}"

        private let width: Int

        init(_ run: RunContext) throws {
          width = try run.component.integer("n")
        }

        func run(_ run: RunContext) throws {
          let branches = try run.root().fork(width)  // They share every page of the prompt.
          try run.untilRunEnds { () throws(PluginError) in
            try run.advance(branches)  // All together, one forward pass for a token of each.
          }
          let scores = try run.score(branches)
          var candidates: [Candidate] = []
          for (branch, score) in zip(branches, scores) {
            candidates.append(try run.candidate(branch, score: score))
          }
          if let best = Self.best(of: scores) { try run.answer(candidates[best]) }
        }

        /// The index of the highest score, the first of equals; nil for none.
        static func best(of scores: [Double]) -> Int? {
          scores.indices.max { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 > $1) }
        }
      }

      """
    case .scorer:
      """
      import MartletPlugin

      /// {{what}}
      struct {{type}}: Scorer {
        static let id = "{{id}}"

        private let penalty: Double

        init(_ component: ComponentContext) throws {
          penalty = try component.number("penalty")
        }

        func score(_ generated: GeneratedText) throws -> Double {
          Self.score(generated.logprobs, penalty: penalty)
        }

        /// Finite also where a token had no probability at all.
        static func score(_ logprobs: [Float], penalty: Double) -> Double {
          guard !logprobs.isEmpty else { return 0 }
          let sum = logprobs.reduce(0.0) { $0 + Double(max($1, -1000)) }
          return sum / Double(logprobs.count) - penalty * Double(logprobs.count)
        }
      }

      """
    case .extractor:
      """
      import MartletPlugin

      /// {{what}}
      struct {{type}}: Extractor {
        static let id = "{{id}}"

        private let digits: Int

        init(_ component: ComponentContext) throws {
          digits = try component.integer("digits")
        }

        func extract(_ generated: GeneratedText) throws -> String? {
          Self.lastNumber(in: generated.text, digits: digits)
        }

        /// Without leading zeros, so that equal numbers are equal texts; nil where there is none.
        static func lastNumber(in text: String, digits: Int) -> String? {
          let numbers = text.split { !("0"..."9").contains($0) }
          guard let last = numbers.last, last.count <= digits else { return nil }
          let trimmed = last.drop { $0 == "0" }
          return trimmed.isEmpty ? "0" : String(trimmed)
        }
      }

      """
    case .drafter:
      """
      import MartletPlugin

      /// {{what}}
      struct {{type}}: Drafter {
        static let id = "{{id}}"

        private let match: Int

        init(_ component: ComponentContext) throws {
          match = try component.integer("match")
        }

        func guess(_ sequence: DraftSequence, most: Int) throws -> [Guess] {
          let next = Self.following(sequence.tokens, match: match).prefix(min(most, sequence.depth))
          // In one line: each follows the one before it.
          return next.enumerated().map { Guess($1, after: $0 - 1, probability: 0.5) }
        }

        /// What followed the last tokens where they stood before, latest place first. Linear in the text.
        static func following(_ tokens: [Int32], match: Int) -> ArraySlice<Int32> {
          guard tokens.count > match else { return [] }
          let tail = tokens.suffix(match)
          for start in stride(from: tokens.count - match - 1, through: 0, by: -1)
          where tokens[start..<start + match].elementsEqual(tail) {
            return tokens[(start + match)...]
          }
          return []
        }
      }

      """
    case .sampler:
      """
      import MartletPlugin

      /// {{what}}
      struct {{type}}: Sampler {
        static let id = "{{id}}"

        /// How far back it looks.
        static let window = 64

        private let penalty: Float

        init(_ component: ComponentContext) throws {
          penalty = Float(try component.number("penalty"))
        }

        /// A function of its arguments: nothing is kept from one choice to the next.
        func process(_ logits: inout MutableSpan<Float>, for choice: SamplingChoice) throws {
          Self.lower(&logits, choice.tokens, by: penalty)
        }

        static func lower(_ logits: inout MutableSpan<Float>, _ tokens: [Int32], by penalty: Float) {
          for token in Set(tokens.suffix(window)) where logits.indices.contains(Int(token)) {
            logits[Int(token)] -= penalty
          }
        }
      }

      """
    case .memory:
      """
      import MartletPlugin

      /// {{what}}
      struct {{type}}: Memory {
        static let id = "{{id}}"

        private let capacity: Int
        private var notes: [(key: String, text: String)] = []

        init(_ component: ComponentContext) throws {
          capacity = try component.integer("capacity")
        }

        mutating func store(_ text: String, under key: String) throws {
          notes = Array((notes + [(key, text)]).suffix(capacity))
        }

        /// The same query finds the same notes in the same order, oldest first among equals.
        func recall(_ query: String, top: Int) throws -> [Note] {
          let found = notes.map {
            Note(key: $0.key, text: $0.text, score: Double(Self.common($0.key, query)))
          }
          return Array(Self.best(found).prefix(top))
        }

        /// How many characters two texts have in common at their beginning.
        static func common(_ a: String, _ b: String) -> Int {
          zip(a, b).prefix { $0 == $1 }.count
        }

        /// Those that have something in common with the query, best first.
        static func best(_ notes: [Note]) -> [Note] {
          notes.enumerated().filter { $0.element.score > 0 }
            .sorted { ($1.element.score, $0.offset) < ($0.element.score, $1.offset) }
            .map(\\.element)
        }
      }

      """
    }
  }

  static func test(_ kind: ComponentKind) -> String {
    let body =
      switch kind {
      case .strategy:
        """
          @Test func theHighestScoreWinsAndTheFirstOfEquals() {
            #expect({{type}}.best(of: [1, 3, 2]) == 1)
            #expect({{type}}.best(of: [2, 5, 5]) == 1)
            #expect({{type}}.best(of: []) == nil)
          }
        """
      case .scorer:
        """
          @Test func likelyAndShortIsBetter() {
            let likely = {{type}}.score([-0.1, -0.1], penalty: 0.01)
            #expect(likely > {{type}}.score([-2, -2], penalty: 0.01))
            #expect(likely > {{type}}.score([-0.1, -0.1, -0.1, -0.1], penalty: 0.01))
            #expect({{type}}.score([-.infinity], penalty: 0).isFinite)
            #expect({{type}}.score([], penalty: 1) == 0)
          }
        """
      case .extractor:
        """
          @Test func theLastNumberIsTheAnswer() {
            #expect({{type}}.lastNumber(in: "3 and 4 make 007.", digits: 20) == "7")
            #expect({{type}}.lastNumber(in: "none", digits: 20) == nil)
            #expect({{type}}.lastNumber(in: "12345", digits: 3) == nil)
            #expect({{type}}.lastNumber(in: "x000", digits: 3) == "0")
          }
        """
      case .drafter:
        """
          @Test func whatCameBeforeComesAgain() {
            #expect({{type}}.following([1, 2, 3, 4, 1, 2], match: 2) == [3, 4, 1, 2])
            #expect({{type}}.following([1, 2, 3], match: 2).isEmpty)
            #expect({{type}}.following([5], match: 2).isEmpty)
          }
        """
      case .sampler:
        """
          @Test func recentTokensAreLowered() {
            var row: [Float] = [1, 2, 3]
            var span = row.mutableSpan
            {{type}}.lower(&span, [2, 2, 0, 9], by: 0.5)
            #expect(row == [0.5, 2, 2.5])
          }
        """
      case .memory:
        """
          @Test func theLongestCommonBeginningIsFound() {
            #expect({{type}}.common("2+3", "2+4") == 2)
            let notes = ["b", "a", "c"].map { Note(key: $0, text: $0, score: $0 == "c" ? 0 : 1) }
            #expect({{type}}.best(notes).map(\\.key) == ["b", "a"])
          }
        """
      }
    return """
      import Testing

      @testable import {{module}}

      @Suite struct {{type}}Tests {
      \(body)
      }

      """
  }
}
