import Glibc
import MartletPlugin

/// What was measured: how often each strategy was right and what it took, by the predicted chance of one answer.
///
/// A text of lines of words:
///
///     martlet-choices 1
///     pilot ANSWERS TOKENS SECONDS
///     weights INTERCEPT AGREEMENT LIKELIHOOD SCORE
///     edges CHANCE…                                     between the bins, ascending
///     row BIN RIGHT TOKENS TOKENS90 SECONDS LIMIT SPEC    bin `-`: over all; limit 0: none
///
/// A spec is a strategy's id and options, `best-of-n:n=8`, or `pilot` for the answer that the few gave.
struct Choices {
  let pilot: Int
  let pilotTokens: Double
  let pilotSeconds: Double
  private let weights: [Double]
  private let edges: [Double]
  private let rows: [Choice]

  init(_ text: String) throws(PluginError) {
    let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    guard !lines.isEmpty else {
      throw PluginError(
        .argument,
        "nothing was measured for this model yet; run 'martlet eval --learn' on problems like yours first"
      )
    }
    guard lines[0] == ["martlet-choices", "1"] else {
      throw PluginError(
        .argument,
        "'choices' begins with '\(lines[0].joined(separator: " "))', not 'martlet-choices 1'")
    }
    var (pilot, weights, edges): ([Double], [Double], [Double]) = ([], [], [])
    var rows: [Choice] = []
    for (number, words) in lines.enumerated().dropFirst() where !words.isEmpty {
      func damaged(_ what: String) -> PluginError {
        PluginError(.argument, "line \(number + 1) of 'choices': \(what)")
      }
      func numbers(_ words: ArraySlice<String>) throws(PluginError) -> [Double] {
        var found: [Double] = []
        for word in words {
          guard let value = Double(word), value.isFinite else {
            throw damaged("'\(word)' is no number")
          }
          found.append(value)
        }
        return found
      }
      switch words[0] {
      case "pilot": pilot = try numbers(words[1...])
      case "weights": weights = try numbers(words[1...])
      case "edges": edges = try numbers(words[1...])
      case "row":
        guard words.count == 8 else {
          throw damaged("a row has 7 words, this has \(words.count - 1)")
        }
        let bin = words[1] == "-" ? nil : Int(words[1])
        guard words[1] == "-" || bin != nil else { throw damaged("'\(words[1])' is no bin") }
        rows.append(try Choice(bin, try numbers(words[2...6]), words[7]))
      default: throw damaged("'\(words[0])' is unknown")
      }
    }
    guard pilot.count == 3, (1...1024).contains(pilot[0]), weights.count == 4,
      edges == edges.sorted(), !rows.isEmpty
    else {
      throw PluginError(
        .argument,
        "'choices' lacks its pilot, weights or rows; write it again with 'martlet eval --learn'")
    }
    (self.pilot, pilotTokens, pilotSeconds) = (Int(pilot[0]), pilot[1], pilot[2])
    (self.weights, self.edges, self.rows) = (weights, edges, rows)
  }

  /// The predicted chance that one answer is right.
  func chance(_ features: [Double]) -> Double {
    let sum = zip(weights.dropFirst(), features).reduce(weights[0]) { $0 + $1.0 * $1.1 }
    return 1 / (1 + exp(-sum))
  }

  /// Which prompts have a chance like this.
  func bin(_ chance: Double) -> Int { edges.count { $0 <= chance } }

  /// What to do next; nil where nothing fits.
  func best(_ bin: Int?, within means: Means, hasPilot: Bool) -> Choice? {
    let own = rows.filter { $0.bin == bin }
    let known = own.isEmpty ? rows.filter { $0.bin == nil } : own
    let fitting = known.filter { row in
      row.isPilot ? hasPilot : row.tokens90 <= means.tokens && row.seconds <= means.seconds
    }
    guard let most = fitting.map(\.right).max() else {
      return known.filter { !$0.isPilot }.min { $0.tokens < $1.tokens }
    }
    return fitting.filter { $0.right >= most - 0.005 }.min { $0.tokens < $1.tokens }
  }
}

/// One strategy with its options as it was measured.
struct Choice {
  let bin: Int?
  let right: Double
  let tokens: Double
  let tokens90: Double
  let seconds: Double
  let limit: Int?
  let spec: String
  let id: String
  let options: [String: String]
  /// Whether it is to answer from the pilot.
  var isPilot: Bool { spec == "pilot" }

  init(_ bin: Int?, _ numbers: [Double], _ spec: String) throws(PluginError) {
    self.bin = bin
    (right, tokens, tokens90, seconds) = (numbers[0], numbers[1], numbers[2], numbers[3])
    guard (0...1e15).contains(numbers[4]) else {
      throw PluginError(.argument, "'\(spec)' has a limit of \(numbers[4]) tokens in 'choices'")
    }
    limit = numbers[4] >= 1 ? Int(numbers[4]) : nil
    self.spec = spec
    let parts = Self.split(spec)
    id = parts[0]
    var options: [String: String] = [:]
    for part in parts.dropFirst() {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2 else {
        throw PluginError(.argument, "'\(part)' of '\(spec)' is not of the form name=value")
      }
      options[String(pair[0])] = String(pair[1])
    }
    self.options = options
  }

  /// Parts between colons; `\s` stands for a space and `\n` for a new line, else a backslash takes what follows it
  /// as it is.
  private static func split(_ spec: String) -> [String] {
    var (parts, isEscaped) = ([""], false)
    for character in spec {
      if isEscaped {
        let plain: [Character: Character] = ["s": " ", "n": "\n"]
        parts[parts.count - 1].append(plain[character] ?? character)
        isEscaped = false
      } else if character == "\\" {
        isEscaped = true
      } else if character == ":" {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts
  }
}
