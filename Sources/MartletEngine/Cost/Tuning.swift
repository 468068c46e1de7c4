import Foundation
import Logging
import MartletKernels
import MartletMachine

/// What was chosen for a model on this machine, and why. It changes speed, never a text; where retrieval
/// begins does change texts, so it is said here and may be given.
public struct Tuning: Sendable, Codable, Equatable, CustomStringConvertible {
  /// Where a choice comes from.
  public enum Origin: String, Sendable, Codable {
    /// The caller said so.
    case given
    /// The rule that holds without measurements.
    case standard
    /// Measured now.
    case measured
    /// Measured at an earlier start.
    case cached
  }

  /// Worker threads.
  public var threads: Int
  public var threadsOrigin: Origin
  /// Prompt tokens per pass.
  public var prefillChunk: Int
  public var prefillChunkOrigin: Origin
  /// Positions from which on generated tokens retrieve; nil where they do not.
  public var retrieveFrom: Int?
  public var retrieveFromOrigin: Origin?
  /// The per cent of their positions that heads may find, of the same origin.
  public var retrieveMost: Int?
  /// Seconds that measuring took.
  public var seconds = 0.0

  public init(
    threads: Int, threadsOrigin: Origin, prefillChunk: Int, prefillChunkOrigin: Origin
  ) {
    self.threads = threads
    self.threadsOrigin = threadsOrigin
    self.prefillChunk = prefillChunk
    self.prefillChunkOrigin = prefillChunkOrigin
  }

  public var description: String {
    "\(threads) threads (\(threadsOrigin.rawValue)), prefill chunks of \(prefillChunk) "
      + "(\(prefillChunkOrigin.rawValue))"
      + (retrieveFrom.map {
        ", retrieval from \($0) positions, of \(retrieveMost ?? 0) % at most "
          + "(\(retrieveFromOrigin?.rawValue ?? ""))"
      } ?? "")
  }
}

/// Chooses the number of threads and the size of prefill chunks by measuring.
///
/// Threads: all that the placement plan has, and half, a quarter, … of them down to one, compared by
/// the geometric mean of a step's time at widths 1 and 8. Fewer threads must win by an eighth: the
/// prompt's passes gain more from threads than steps do. Chunks: the smallest of 64, 128, 256 and
/// 512 tokens whose time per token is within a twentieth of the best, because decoding waits for
/// chunks.
///
/// In a numeric class that is batch-invariant no choice changes a result; in the OpenBLAS class
/// nothing is tuned.
public struct Autotuner {
  /// How much may be measured.
  public enum Effort: Sendable {
    /// Nothing, and nothing that was measured earlier: the standard rule.
    case off
    /// Nothing: earlier measurements or the standard rule.
    case none
    /// Some tenths of a second where nothing is kept from earlier; prefill chunks of large models
    /// stay at the standard.
    case quick
    /// Everything, also where something is kept.
    case thorough
  }

  let parts: TransformerParts
  let options: TransformerBackend.Options
  let store: TuningStore?
  let logger: Logger

  private static let candidates = [64, 128, 256, 512]

  /// - Parameter store: where measurements are kept. Without one nothing is measured unless the
  ///   effort is thorough, because every start would measure again.
  public init(
    parts: TransformerParts, options: TransformerBackend.Options, store: TuningStore?,
    logger: Logger = Logger(label: "martlet.engine")
  ) {
    self.parts = parts
    self.options = options
    self.store = store
    self.logger = logger
  }

  /// Tunes what `standard` does not say is given.
  ///
  /// - Parameters:
  ///   - standard: the choice without measurements; what is ``Tuning/Origin/given`` stays.
  ///   - team: all threads of the plan.
  ///   - makeTeam: a team of fewer threads.
  /// - Returns: the choice, and its team where that is not `team`.
  /// - Throws: `EngineError` when a backend cannot be made, and what `makeTeam` throws.
  public func tune(
    _ standard: Tuning, effort: Effort, team: ThreadTeam, makeTeam: (Int) throws -> ThreadTeam
  ) throws -> (Tuning, ThreadTeam) {
    guard effort != .off, parts.output.numericClass != .openBLAS else { return (standard, team) }
    let identity = "\(parts.tuningIdentity); up to \(team.width) threads: \(team.plan.description)"
    var record = store?.record(identity) ?? TuningRecord(identity: identity)
    if effort == .thorough { record = TuningRecord(identity: identity) }
    var tuning = standard
    var team = team
    let isMeasuring = effort == .thorough || (effort == .quick && store != nil)
    let begin = monotonicNanoseconds()
    let load = OtherLoad()
    var hasMeasured = false

    if standard.threadsOrigin != .given, team.width > 1 {
      if let kept = record.threads, (1...team.width).contains(kept) {
        (tuning.threads, tuning.threadsOrigin) = (kept, .cached)
        if kept != team.width { team = try makeTeam(kept) }
      } else if isMeasuring {
        team = try fastest(team, seconds: effort == .thorough ? 2 : 0.3, makeTeam)
        (tuning.threads, tuning.threadsOrigin) = (team.width, .measured)
        record.threads = team.width
        hasMeasured = true
      }
    }
    if standard.prefillChunkOrigin != .given {
      if let kept = record.prefillChunk, (1...options.maximumBatchTokens).contains(kept) {
        (tuning.prefillChunk, tuning.prefillChunkOrigin) = (kept, .cached)
      } else if isMeasuring, let best = try chunk(team, seconds: effort == .thorough ? 60 : 0.5) {
        (tuning.prefillChunk, tuning.prefillChunkOrigin) = (best, .measured)
        record.prefillChunk = best
        hasMeasured = true
      }
    }
    guard hasMeasured else { return (tuning, team) }
    tuning.seconds = Double(monotonicNanoseconds() - begin) * 1e-9
    if !load.isQuiet {
      // A busy machine favours fewer threads than an idle one.
      logger.info("other processes ran while Martlet measured; its choices are not kept")
      if standard.threadsOrigin != .given, tuning.threads != standard.threads,
        tuning.threadsOrigin == .measured
      {
        (tuning.threads, tuning.threadsOrigin) = (standard.threads, .standard)
        team = try makeTeam(standard.threads)
      }
    } else {
      keep(record)
    }
    return (tuning, team)
  }

  func keep(_ record: TuningRecord) {
    do throws(MachineError) {
      try store?.keep(record)
    } catch {
      logger.info("what was measured is not kept: \(error.message)")
    }
  }

  // MARK: Measuring

  private func fastest(
    _ full: ThreadTeam, seconds: Double, _ makeTeam: (Int) throws -> ThreadTeam
  ) throws -> ThreadTeam {
    var teams = [full]
    while let last = teams.last, last.width > 1 { teams.append(try makeTeam(last.width / 2)) }
    let timers = try teams.map { try timer($0, pages: 8) }
    let widths = [1, 8].filter { $0 <= timers[0].widest }
    let logits = try LogitsBuffer(rows: 8, vocabulary: timers[0].backend.vocabularySize)
    var best = [[Double]](
      repeating: [Double](repeating: .infinity, count: widths.count), count: teams.count)
    var spent = 0.0
    var round = 0
    // Rounds visit every candidate, so that a moment's noise meets them all.
    while round < 3 || (spent < seconds && round < 64) {
      for (index, timer) in timers.enumerated() {
        for (place, width) in widths.enumerated() {
          let time = try timer.step(width: width, logits: logits)
          spent += time
          if round > 0 { best[index][place] = min(best[index][place], time) }
        }
      }
      round += 1
    }
    let scores = best.map { $0.reduce(1, *) }
    let needed = 0.875
    let chosen = scores.indices.dropFirst().reduce(0) { winner, index in
      // A product of n times: the geometric mean is its n-th root.
      scores[index] < scores[winner] * pow(needed, Double(widths.count)) ? index : winner
    }
    return teams[chosen]
  }

  /// nil when it would take longer than `seconds`, or there is nothing to choose.
  private func chunk(_ team: ThreadTeam, seconds: Double) throws -> Int? {
    let most = min(options.maximumBatchTokens, parts.configuration.contextLength)
    let sizes = Self.candidates.filter { $0 <= most }
    guard let largest = sizes.last, sizes.count > 1 else { return nil }
    let timer = try timer(team, tokens: largest)
    let logits = try LogitsBuffer(rows: 1, vocabulary: timer.backend.vocabularySize)
    let first = try timer.prefill(tokens: sizes[0], logits: logits)
    let rounds = 2
    let estimate = first * Double(rounds * sizes.reduce(0, +)) / Double(sizes[0])
    guard estimate <= seconds else { return nil }
    var best = [Double](repeating: .infinity, count: sizes.count)
    for _ in 0..<rounds {
      for (index, size) in sizes.enumerated() {
        let time = try timer.prefill(tokens: size, logits: logits)
        best[index] = min(best[index], time / Double(size))
      }
    }
    guard let least = best.min(), let index = best.firstIndex(where: { $0 <= 1.05 * least }) else {
      return nil
    }
    return sizes[index]
  }

  /// A backend of its own for measuring, with pages for `tokens` positions or `pages` branches.
  private func timer(_ team: ThreadTeam, tokens: Int = 1, pages: Int = 1) throws -> StepTimer {
    let backend = try TransformerBackend(parts: parts, team: team, options: options)
    let count = max(pages, (tokens + backend.pageTokens - 1) / backend.pageTokens)
    try backend.reservePages(count)
    return StepTimer(backend: backend, pages: (0..<count).map { PageID($0) })
  }
}
