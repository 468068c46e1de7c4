import Martlet
import MartletKernels
import MartletMachine

/// One context of the benchmark: a backend for each way of attending, over contents that are equal.
final class ContextBenchCase {
  /// A way of attending, and the share of the context that is dropped first.
  struct Way: Equatable {
    let method: AttentionMethod
    var dropped: DroppedShare?

    var name: String { dropped?.name ?? method.name }
  }

  private struct Lane {
    let way: Way
    let backend: TransformerBackend
    /// Positions of the context that are left.
    var positions: Int
    var samples = Samples()
    var attentionSeconds = 0.0
    var prefillSeconds = 0.0
    var dropSeconds = 0.0
    var firstSeconds = 0.0
    var outputError: Double?

    var contextPages: Int { positions / KVSlab.pageTokens }
  }

  private let settings: ContextBench.Settings
  private let positions: Int
  private let branches: Int
  private let logits: LogitsBuffer
  private var lanes: [Lane] = []

  /// Positions at the end that are prefilled through the model.
  private static let prefilled = 256
  /// Positions that follow a dropped span: what a subtask hands on.
  private static let following = 128

  init(
    _ session: Session, _ settings: ContextBench.Settings, _ positions: Int, _ branches: Int,
    _ ways: [Way]
  ) throws {
    self.settings = settings
    self.positions = positions
    self.branches = branches
    var parts = TransformerParts(model: session.model, tokenizer: session.tokenizer)
    parts.configuration.contextLength =
      positions + settings.generate * (settings.repetitions + 2) + 1
    logits = try LogitsBuffer(
      rows: branches, vocabulary: session.model.configuration.vocabularySize)
    for way in ways {
      var options = TransformerBackend.Options(kvType: settings.kvType, attention: way.method)
      if let folder = settings.kvFile {
        let c = parts.configuration
        options.file = .init(
          path: folder,
          byteCount: pages
            * (try KVSlab(
              type: settings.kvType, layers: c.layers, kvHeads: c.kvHeads,
              headDimensions: c.headDimensions
            ).bytesPerPage))
      }
      let backend = try TransformerBackend(parts: parts, team: session.team, options: options)
      var lane = Lane(way: way, backend: backend, positions: contextPages * KVSlab.pageTokens)
      lane.prefillSeconds = try fill(backend, way.method)
      if let dropped = way.dropped { try drop(dropped, &lane) }
      lanes.append(lane)
    }
  }

  private var contextPages: Int { positions / KVSlab.pageTokens }
  private var ownPages: Int {
    (settings.generate * (settings.repetitions + 2)) / KVSlab.pageTokens + 2
  }
  private var pages: Int { contextPages + branches * ownPages }

  /// The page tables of all branches: a common context and pages of their own.
  private func tables(_ lane: Lane) -> [[PageID]] {
    (0..<branches).map { branch in
      (0..<PageID(lane.contextPages))
        + (0..<ownPages).map {
          PageID(contextPages + branch * ownPages + $0)
        }
    }
  }

  /// Takes a span out of the context; a few positions follow it.
  private func drop(_ dropped: DroppedShare, _ lane: inout Lane) throws {
    let size = KVSlab.pageTokens
    let (end, count) = (lane.positions, Int(dropped.share * Double(contextPages)) * size)
    let first = end - Self.following - count
    guard count > 0, first >= 0 else {
      throw BenchError(
        .argument,
        "a span of \(dropped.share) of \(end) positions, of which the last \(Self.following) stay, is not "
          + "there")
    }
    let table = (0..<PageID(contextPages)).map { $0 }
    let begin = monotonicNanoseconds()
    if dropped.following == .kept {
      lane.backend.shift(table, dropping: first..<first + count, end: end, into: table)
    } else {
      try lane.backend.forward(
        ForwardBatch(
          tokens: (first..<first + Self.following).map {
            BatchToken(
              token: token($0 + count, lane.backend), position: $0, sequence: 0, wantsLogits: false)
          }, sequences: [table]), logits: logits)
    }
    lane.dropSeconds = Double(monotonicNanoseconds() - begin) * 1e-9
    lane.positions -= count
  }

  /// Returns the seconds that prefilling took, 0 where most of the context is synthetic.
  private func fill(_ backend: TransformerBackend, _ method: AttentionMethod) throws -> Double {
    guard settings.prefill || !method.prunesPrompts else {
      throw BenchError(
        .argument,
        "attention \(method.name) is about reading the prompt, and contexts are synthetic; add --prefill"
      )
    }
    try backend.reservePages(pages)
    let end = contextPages * KVSlab.pageTokens
    var first = 0
    if !settings.prefill {
      try backend.fillSynthetic(
        pages: 0..<PageID(contextPages), sharpness: Float(settings.sharpness), seed: 1)
      first = max(0, end - Self.prefilled)
    }
    let begin = monotonicNanoseconds()
    // A prompt that tokens leave goes through the later layers with its last token.
    let read = method.prunesPrompts ? end + 1 : end
    for start in stride(from: first, to: read, by: backend.maximumBatchTokens) {
      let past = min(read, start + backend.maximumBatchTokens)
      try backend.forward(
        ForwardBatch(
          tokens: (start..<past).map {
            BatchToken(
              token: token($0, backend), position: $0, sequence: 0, wantsLogits: $0 == read - 1)
          }, sequences: [(0..<PageID(contextPages + 1)).map { $0 }], promptTokens: [end + 1]),
        logits: logits)
    }
    return settings.prefill ? Double(monotonicNanoseconds() - begin) * 1e-9 : 0
  }

  private func token(_ position: Int, _ backend: TransformerBackend) -> Token {
    Token(position * 7919 % backend.vocabularySize)
  }

  /// Decodes in every way in turn; the first round warms up, and indexes are built in it.
  /// - Parameters:
  ///   - exactNs: a step of exact attention, where that is not the first of several ways.
  ///   - residentBefore: the resident set before the context was made, where there is one way.
  func rows(exactNs: Double? = nil, residentBefore: Int? = nil) throws -> [ContextBench.Row] {
    for round in 0...settings.repetitions {
      for turn in lanes.indices {
        try decode((turn + round) % lanes.count, round: round)
      }
    }
    let resident = residentBefore.flatMap { before in ResidentMemory.bytes.map { $0 - before } }
    for lane in lanes.indices { try compareOutputs(lane) }
    let exact = lanes[0].way == Way(method: .exact) ? lanes[0] : nil
    return lanes.map { lane in
      let ratios = exact.map {
        zip($0.samples.nanoseconds, lane.samples.nanoseconds).map { $0 / $1 }
      }
      let speedup = ratios.map { Samples.median($0) } ?? exactNs.map { $0 / lane.samples.median }
      return row(lane, speedup, resident)
    }
  }

  private func decode(_ lane: Int, round: Int) throws {
    let backend = lanes[lane].backend
    backend.resetStatistics()
    var taken = 0.0
    for step in 0..<settings.generate {
      if settings.isCold { backend.leaveMemory() }
      let begin = monotonicNanoseconds()
      try self.step(lanes[lane], round * settings.generate + step)
      let nanoseconds = Double(monotonicNanoseconds() - begin)
      if round == 0 && step == 0 { lanes[lane].firstSeconds = nanoseconds * 1e-9 }
      taken += nanoseconds
    }
    if round > 0 {
      lanes[lane].samples.append(taken / Double(settings.generate))
      lanes[lane].attentionSeconds += backend.statistics.seconds(.attention)
    }
  }

  /// One token of every branch.
  private func step(_ lane: Lane, _ number: Int) throws {
    // One position is left between the context and the first token: its prompt's last.
    let position = lane.positions + 1 + number
    let tables = tables(lane)
    try lane.backend.forward(
      ForwardBatch(
        tokens: (0..<branches).map {
          BatchToken(
            token: token(position + $0, lane.backend), position: position, sequence: $0,
            wantsLogits: true)
        }, sequences: tables, promptTokens: tables.map { _ in lane.positions + 1 }),
      logits: logits)
  }

  /// Measures how far attention outputs are from exact ones, on tokens behind the samples.
  private func compareOutputs(_ lane: Int) throws {
    let way = lanes[lane].way
    guard way.dropped == nil, !way.method.prunesPrompts else { return }
    if case .retrieve = way.method, let error = lanes[lane].backend.retrievalReport?.error {
      lanes[lane].outputError = error
      return
    }
    try lanes[lane].backend.measureOutputError()
    for step in 0..<min(4, settings.generate) {
      try self.step(lanes[lane], (settings.repetitions + 1) * settings.generate + step)
    }
    lanes[lane].outputError = lanes[lane].backend.measuredOutputError ?? 0
  }

  private func row(_ lane: Lane, _ speedup: Double?, _ resident: Int?) -> ContextBench.Row {
    let report = lane.backend.retrievalReport
    let found = (report?.wanted ?? []).compactMap { $0 }
    let steps = Double(settings.generate * settings.repetitions)
    let codes = report?.bytesPerPosition ?? 0
    let beside = lane.backend.bytesPerPage - lane.backend.prefixPageBytes
    return ContextBench.Row(
      attention: lane.way.name, positions: positions, branches: branches,
      kvType: settings.kvType.rawValue, threads: lane.backend.team.width,
      tokensPerS: Double(branches) / lane.samples.median * 1e9,
      speedup: speedup, outputError: lane.outputError,
      wanted: found.isEmpty ? 0 : Double(found.reduce(0, +)) / Double(found.count),
      exactHeads: report.map { report in
        Double(report.wanted.count - found.count) / Double(max(1, report.wanted.count))
      } ?? 1,
      prefillSeconds: lane.prefillSeconds, buildSeconds: report?.buildSeconds ?? 0,
      fitSeconds: report?.fitSeconds ?? 0, settleSeconds: report?.settleSeconds ?? 0,
      firstMs: lane.firstSeconds * 1e3, dropSeconds: lane.dropSeconds,
      kvBytes: lane.backend.prefixPageBytes * lane.contextPages,
      indexBytes: beside * lane.contextPages,
      statedBytes: lane.backend.bytesPerPage * (lane.contextPages + branches * ownPages),
      residentBytes: resident,
      indexBytesPerKey: Double(codes) / Double(lane.backend.keysPerPosition),
      attentionMs: lane.attentionSeconds / steps * 1e3, medianNs: lane.samples.median,
      minNs: lane.samples.minimum, samplesNs: lane.samples.nanoseconds,
      command: "\(settings.command) --methods \(lane.way.method.name)"
        + (lane.way.dropped.map { " --dropped \($0.word)" } ?? "")
        + " --positions \(positions) --branches \(branches) --generate \(settings.generate)"
        + " --repetitions \(settings.repetitions) --sharpness \(settings.sharpness)"
        + (settings.prefill ? " --prefill" : "") + (settings.isApart ? " --apart" : "")
        + (settings.kvFile.map { " --kv-file \($0)" } ?? "") + (settings.isCold ? " --cold" : ""))
  }
}
