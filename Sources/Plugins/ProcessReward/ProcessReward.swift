import MartletPlugin

/// A process reward model: another model reads the text so far and gives the probability that it leads to a right
/// answer, in 0…1.
///
/// The model sees the prompt and the text; after `probe` the probabilities of the tokens `good` and `bad` are
/// compared: p(good) / (p(good) + p(bad)). It reads on where it has read before: its keys and values of a text
/// whose beginning it has judged are forked, so a step of a search costs the new tokens and the probe. The model
/// that comes with Martlet was trained for texts that end where a step does (`step=" "`) or are whole.
///
/// Papers: Let's Verify Step by Step (Lightman et al., 2023); Math-Shepherd (Wang et al., 2024) for labels by
/// rollouts.
struct ProcessReward: BranchScorer {
  static let id = "process-reward"

  /// How many texts the model keeps keys and values of.
  private static let most = 256

  private let probe: String
  private let labels: [String]
  private let name: String
  private var reader: Reader?

  init(_ run: RunContext) throws {
    probe = try run.filled(try run.component.text("probe"))
    labels = [try run.component.text("good"), try run.component.text("bad")]
    name = try run.component.text("model")
  }

  /// The model with what it has read.
  private struct Reader {
    let prompt: Branch
    var read: [(text: String, branch: Branch)] = []
  }

  mutating func score(_ branches: [Branch], _ run: RunContext) throws -> [Double] {
    if reader == nil {
      reader = Reader(prompt: try run.open(run.prompt(), on: run.model(name)))
    }
    var texts: [Branch] = []
    for branch in branches { texts.append(try read(branch.text())) }
    let odds = try run.labelProbabilities(
      texts, probe: probe, labels: labels, onOtherModel: true)
    // Only the latest are kept: a search goes on from them.
    while reader!.read.count > Self.most { try reader!.read.removeFirst().branch.release() }
    return odds.map { $0[0] + $0[1] > 0 ? $0[0] / ($0[0] + $0[1]) : 0.5 }
  }

  /// A branch of the model that has read a text: its own, or a fork of the longest beginning of it.
  private mutating func read(_ text: String) throws -> Branch {
    if let known = reader!.read.last(where: { $0.text == text }) { return known.branch }
    var (start, length) = (reader!.prompt, 0)
    let bytes = Array(text.utf8)
    for (known, branch) in reader!.read where known.utf8.count > length {
      let beginning = Array(known.utf8)
      if beginning.count < bytes.count, bytes[..<beginning.count].elementsEqual(beginning) {
        (start, length) = (branch, beginning.count)
      }
    }
    let branch = try start.fork(1)[0]
    let rest = String(decoding: bytes[length...], as: UTF8.self)
    if !rest.isEmpty { try branch.append(rest) }
    reader!.read.append((text, branch))
    return branch
  }
}
