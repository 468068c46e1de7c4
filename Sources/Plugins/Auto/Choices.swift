import Glibc
import MartletPlugin

/// What was measured: how often each strategy was right and what it took, by kind of prompt and by the predicted chance
/// of one answer.
///
/// A text of lines of words:
///
///     martlet-choices 2
///     kind SCORER ANSWERS TOKENS TOKENS90 SECONDS90 INTERCEPT AGREEMENT LIKELIHOOD SCORE EDGE…
///     row - RIGHT TOKENS GENERATED90 TOTAL90 SECONDS90 LIMIT SPEC      over the kind; limit 0: none
///     bin BIN SHARE
///     row BIN RIGHT …                                                  among prompts of the bin
///
/// A kind is of the prompts that its scorer judges, `-` of those that none of them does, `*` of all; what comes after it,
/// up to the next, is its own. ANSWERS are drawn to see how hard a prompt is, and take TOKENS; the numbers ending in 90
/// are ninetieth percentiles. Edges lie between bins, ascending. A spec is a strategy's id and options,
/// `best-of-n:n=8`, or `pilot` for the answer that the few gave.
struct Choices {
  private var kinds: [ChoiceKind] = []

  init(_ text: String) throws(PluginError) {
    let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    guard !lines.isEmpty else {
      throw PluginError(
        .argument,
        "nothing was measured for this model yet; run 'martlet eval --learn' on problems like yours first"
      )
    }
    guard lines[0] == ["martlet-choices", "2"] else {
      throw PluginError(
        .argument,
        "'choices' begins with '\(lines[0].joined(separator: " "))', not 'martlet-choices 2'; write it "
          + "again with 'martlet eval --report-only --learn'")
    }
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
      case "kind":
        guard words.count >= 10 else {
          throw damaged("a kind has 9 words or more, this has \(words.count - 1)")
        }
        guard let kind = ChoiceKind(words[1], try numbers(words[2...])) else {
          throw damaged("there are 1 to 1024 answers, and edges ascend")
        }
        kinds.append(kind)
      case "bin" where words.count == 3 && !kinds.isEmpty:
        kinds[kinds.count - 1].shares.append(try numbers(words[2...2])[0])
      case "row" where !kinds.isEmpty:
        guard words.count == 9 else {
          throw damaged("a row has 8 words, this has \(words.count - 1)")
        }
        let bin = words[1] == "-" ? nil : Int(words[1])
        guard words[1] == "-" || bin != nil else { throw damaged("'\(words[1])' is no bin") }
        kinds[kinds.count - 1].rows.append(try Choice(bin, try numbers(words[2...7]), words[8]))
      default: throw damaged("'\(words[0])' is unknown here")
      }
    }
    guard kinds.contains(where: { $0.scorer == "*" }), !kinds.contains(where: { $0.rows.isEmpty })
    else {
      throw PluginError(
        .argument,
        "'choices' lacks the kind of all prompts, or a kind lacks its rows; write it again with "
          + "'martlet eval --learn'")
    }
  }

  /// What is known of a prompt.
  /// - Parameter isJudged: whether a scorer judges it.
  func kind(
    _ isJudged: (_ scorer: String) throws(PluginError) -> Bool
  ) throws(PluginError) -> ChoiceKind {
    let all = kinds.first { $0.scorer == "*" }!
    guard kinds.count > 1 else { return all }
    for kind in kinds where !["*", "-"].contains(kind.scorer) {
      if try isJudged(kind.scorer) { return kind }
    }
    return kinds.first { $0.scorer == "-" } ?? all
  }
}

/// What was measured on one kind of prompt.
struct ChoiceKind {
  let scorer: String
  /// How many answers show how hard a prompt is, and what they take.
  let pilot: Int
  private let pilotTokens: Double
  private let pilotTokens90: Double
  private let pilotSeconds: Double
  private let weights: [Double]
  private let edges: [Double]
  fileprivate var shares: [Double] = []
  fileprivate var rows: [Choice] = []

  fileprivate init?(_ scorer: String, _ numbers: [Double]) {
    guard (1...1024).contains(numbers[0]), numbers[8...] == numbers[8...].sorted()[...] else {
      return nil
    }
    self.scorer = scorer
    (pilot, pilotTokens, pilotTokens90) = (Int(numbers[0]), numbers[1], numbers[2])
    (pilotSeconds, weights, edges) = (numbers[3], Array(numbers[4...7]), Array(numbers[8...]))
  }

  /// The predicted chance that one answer is right.
  func chance(_ features: [Double]) -> Double {
    let sum = zip(weights.dropFirst(), features).reduce(weights[0]) { $0 + $1.0 * $1.1 }
    return 1 / (1 + exp(-sum))
  }

  /// Which prompts have a chance like this.
  func bin(_ chance: Double) -> Int { edges.count { $0 <= chance } }

  /// What to do next: of what fits, what was right most often, or half a point less and cheaper; nil where nothing was
  /// measured.
  /// - Parameter bin: nil where no answers were drawn.
  func best(_ bin: Int?, within means: Means) -> Choice? {
    let own = rows.filter { $0.bin == bin }
    let hasPilot = bin != nil
    let known = own.isEmpty ? rows.filter { $0.bin == nil } : own
    let fitting = known.filter { $0.isPilot ? hasPilot : $0.fits(means) }
    guard let most = fitting.map(\.right).max() else {
      return known.filter { !$0.isPilot }.min { $0.tokens < $1.tokens }
    }
    return fitting.filter { $0.right >= most - 0.005 }.min { $0.tokens < $1.tokens }
  }

  /// What a choice may use: as much as when it was measured if more was measured and not chosen, else all there is.
  func limit(of choice: Choice, within means: Means) -> Int? {
    let isMoreKnown = rows.contains {
      $0.bin == choice.bin && $0.spec == choice.spec && $0.fits(means)
        && $0.limit ?? .max > choice.limit ?? .max
    }
    return isMoreKnown ? choice.limit : nil
  }

  /// Whether drawing answers first is expected to pay: the choice that each bin would then get, from what would be left,
  /// is right more often by a point than the one for all, or as often for less.
  func paysToLook(within means: Means) -> Bool {
    guard pilotTokens90 <= min(means.generated, means.total), pilotSeconds <= means.seconds,
      !shares.isEmpty
    else { return false }
    guard let blind = best(nil, within: means), blind.fits(means) else { return true }
    let left = means.less(tokens: pilotTokens, seconds: pilotSeconds)
    var (right, tokens) = (0.0, pilotTokens)
    for (bin, share) in shares.enumerated() {
      guard let choice = best(bin, within: left), choice.isPilot || choice.fits(left) else {
        return false
      }
      right += share * choice.right
      tokens += share * choice.tokens
    }
    return right > blind.right + 0.01 || right >= blind.right - 0.005 && tokens < 0.9 * blind.tokens
  }
}

/// One strategy with its options as it was measured.
struct Choice {
  let bin: Int?
  let right: Double
  /// The mean of all kinds of tokens.
  let tokens: Double
  private let generated90: Double
  private let total90: Double
  private let seconds90: Double
  let limit: Int?
  let spec: String
  let id: String
  let options: [String: String]
  /// Whether it is to answer from the pilot.
  var isPilot: Bool { spec == "pilot" }

  /// Whether nine of ten of its runs ended within this.
  func fits(_ means: Means) -> Bool {
    generated90 <= means.generated && total90 <= means.total && seconds90 <= means.seconds
  }

  fileprivate init(_ bin: Int?, _ numbers: [Double], _ spec: String) throws(PluginError) {
    self.bin = bin
    (right, tokens) = (numbers[0], numbers[1])
    (generated90, total90, seconds90) = (numbers[2], numbers[3], numbers[4])
    guard (0...1e15).contains(numbers[5]) else {
      throw PluginError(.argument, "'\(spec)' has a limit of \(numbers[5]) tokens in 'choices'")
    }
    limit = numbers[5] >= 1 ? Int(numbers[5]) : nil
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
