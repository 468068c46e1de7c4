import Martlet
import MartletKernels
import MartletMachine

/// One context of the benchmark: a backend for each way of attending, over contents that are equal.
final class ContextBenchCase {
  private struct Lane {
    let method: AttentionMethod
    let backend: TransformerBackend
    var samples = Samples()
    var attentionSeconds = 0.0
    var prefillSeconds = 0.0
  }

  private let settings: ContextBench.Settings
  private let positions: Int
  private let branches: Int
  private let logits: LogitsBuffer
  private var lanes: [Lane] = []

  /// Positions at the end that are prefilled through the model.
  private static let prefilled = 256

  init(
    _ session: Session, _ settings: ContextBench.Settings, _ positions: Int, _ branches: Int,
    _ methods: [AttentionMethod]
  ) throws {
    self.settings = settings
    self.positions = positions
    self.branches = branches
    var parts = TransformerParts(model: session.model, tokenizer: session.tokenizer)
    parts.configuration.contextLength =
      positions + settings.generate * (settings.repetitions + 1) + 1
    logits = try LogitsBuffer(
      rows: branches, vocabulary: session.model.configuration.vocabularySize)
    for method in methods {
      var options = TransformerBackend.Options(kvType: settings.kvType, attention: method)
      if let folder = settings.kvFile {
        let c = parts.configuration
        options.file = .init(
          path: folder,
          byteCount: (contextPages + branches * ownPages)
            * (try KVSlab(
              type: settings.kvType, layers: c.layers, kvHeads: c.kvHeads,
              headDimensions: c.headDimensions
            ).bytesPerPage))
      }
      let backend = try TransformerBackend(parts: parts, team: session.team, options: options)
      lanes.append(Lane(method: method, backend: backend))
      lanes[lanes.count - 1].prefillSeconds = try fill(backend, method)
    }
  }

  private var contextPages: Int { positions / KVSlab.pageTokens }
  private var ownPages: Int {
    (settings.generate * (settings.repetitions + 1)) / KVSlab.pageTokens + 2
  }

  /// The page tables of all branches: a common context and pages of their own.
  private var tables: [[PageID]] {
    (0..<branches).map { branch in
      (0..<PageID(contextPages))
        + (0..<ownPages).map {
          PageID(contextPages + branch * ownPages + $0)
        }
    }
  }

  /// Returns the seconds that prefilling took, 0 where most of the context is synthetic.
  private func fill(_ backend: TransformerBackend, _ method: AttentionMethod) throws -> Double {
    guard settings.prefill || !method.prunesPrompts else {
      throw BenchError(
        .argument,
        "attention \(method.name) is about reading the prompt, and contexts are synthetic; add --prefill"
      )
    }
    try backend.reservePages(contextPages + branches * ownPages)
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
          }, sequences: [tables[0]], promptTokens: [end + 1]), logits: logits)
    }
    return settings.prefill ? Double(monotonicNanoseconds() - begin) * 1e-9 : 0
  }

  private func token(_ position: Int, _ backend: TransformerBackend) -> Token {
    Token(position * 7919 % backend.vocabularySize)
  }

  /// Decodes with every method in turn; the first round warms up, and indexes are built in it.
  func rows() throws -> [ContextBench.Row] {
    for round in 0...settings.repetitions {
      for turn in lanes.indices {
        try decode((turn + round) % lanes.count, round: round)
      }
    }
    let exact = lanes[0]
    return lanes.map { row($0, exact) }
  }

  private func decode(_ lane: Int, round: Int) throws {
    let backend = lanes[lane].backend
    // One position is left between the context and the first token: its prompt's last.
    let start = contextPages * KVSlab.pageTokens + 1 + round * settings.generate
    backend.resetStatistics()
    var taken = 0.0
    for step in 0..<settings.generate {
      let position = start + step
      if settings.isCold { backend.leaveMemory() }
      let begin = monotonicNanoseconds()
      defer { taken += Double(monotonicNanoseconds() - begin) }
      try backend.forward(
        ForwardBatch(
          tokens: (0..<branches).map {
            BatchToken(
              token: token(position + $0, backend), position: position, sequence: $0,
              wantsLogits: true)
          }, sequences: tables,
          promptTokens: tables.map { _ in contextPages * KVSlab.pageTokens + 1 }),
        logits: logits)
    }
    if round > 0 {
      lanes[lane].samples.append(taken / Double(settings.generate))
      lanes[lane].attentionSeconds += backend.statistics.seconds(.attention)
    }
  }

  private func row(_ lane: Lane, _ exact: Lane) -> ContextBench.Row {
    let report = lane.backend.retrievalReport
    let found = (report?.wanted ?? []).compactMap { $0 }
    let steps = Double(settings.generate * settings.repetitions)
    let codes = report?.bytesPerPosition ?? 0
    return ContextBench.Row(
      attention: lane.method.name, positions: positions, branches: branches,
      kvType: settings.kvType.rawValue, threads: lane.backend.team.width,
      tokensPerS: Double(branches) / lane.samples.median * 1e9,
      speedup: Samples.median(
        zip(exact.samples.nanoseconds, lane.samples.nanoseconds).map { $0 / $1 }),
      outputError: report?.error ?? 0,
      wanted: found.isEmpty ? 0 : Double(found.reduce(0, +)) / Double(found.count),
      exactHeads: report.map { report in
        Double(report.wanted.count - found.count) / Double(max(1, report.wanted.count))
      } ?? 1,
      prefillSeconds: lane.prefillSeconds, buildSeconds: report?.buildSeconds ?? 0,
      fitSeconds: report?.fitSeconds ?? 0, settleSeconds: report?.settleSeconds ?? 0,
      kvBytes: (lane.backend.bytesPerPage - codes * KVSlab.pageTokens) * contextPages,
      indexBytes: codes * KVSlab.pageTokens * contextPages,
      indexBytesPerKey: Double(codes) / Double(lane.backend.keysPerPosition),
      attentionMs: lane.attentionSeconds / steps * 1e3, medianNs: lane.samples.median,
      minNs: lane.samples.minimum, samplesNs: lane.samples.nanoseconds,
      command: "\(settings.command) --attention \(lane.method.name) --positions \(positions) "
        + "--branches \(branches)")
  }
}
