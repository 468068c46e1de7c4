import Foundation
import MartletKernels
import MartletMachine
import Synchronization

/// From how many positions on a search is faster than attention to everything, on this machine, and how many
/// of them it may find to stay faster.
///
/// Time decides here, so it decides once: what is measured is kept, goes into ``Tuning`` and holds for the
/// whole session, and `from=POSITIONS` pins it. Both ways of attending are timed over keys of the model's
/// shape at two lengths, alone and with eight branches on one context; either takes time in proportion to
/// the length, and a constant. The answer is where the two lines cross, the later of both widths, because
/// what a token attends to must not depend on how many branches there are. At the greater length searches
/// that find many positions are timed as well: between few and many, time is in proportion to what is found,
/// and the part of the positions at which it reaches exact attention's is the most that a head may find.
public struct RetrievalCrossing {
  let parts: TransformerParts
  let options: TransformerBackend.Options
  let team: ThreadTeam

  /// Positions between which a crossing is looked for.
  public static let range = 2_048...131_072
  private static let lengths = [4_096, 16_384]
  private static let widths = [1, 8]
  /// More than caches hold, for shapes that have as many heads as layers this short.
  private static let layers = 2
  private static let rounds = 5
  /// Positions that each query finds: what heads that look for something need.
  private static let wanted = 128
  /// The part of all positions that a group finds where it finds many.
  private static let many = 0.125
  /// What a search must gain before it is worth leaving something out.
  private static let gain = 1.1

  public init(parts: TransformerParts, options: TransformerBackend.Options, team: ThreadTeam) {
    (self.parts, self.options, self.team) = (parts, options, team)
  }

  /// What pays on this machine.
  public struct Found: Sendable, Equatable {
    /// Tokens at fewer positions attend to everything.
    public var positions: Int
    /// Heads that have to find a greater part of their positions do.
    public var mostPercent: Int

    /// What holds without measurements.
    public static let standard = Found(
      positions: AttentionMethod.Retrieval.standardMinimum,
      mostPercent: AttentionMethod.Retrieval.standardMostPercent)

    public init(positions: Int, mostPercent: Int) {
      (self.positions, self.mostPercent) = (positions, mostPercent)
    }
  }

  /// Measures; some tenths of a second, and 64 MB for eight heads of 64 dimensions of two bytes.
  /// - Throws: `EngineError` `.memory`.
  public func measure(_ retrieval: AttentionMethod.Retrieval) throws(EngineError) -> Found {
    do throws(KernelError) {
      let bench = try Bench(self, retrieval)
      let group = max(1, parts.configuration.queryHeads / parts.configuration.kvHeads)
      let each = max(2 * Self.wanted, Int(Self.many * Double(Self.lengths[1])) / group)
      // Pages are turned by the first search: everything is timed as written before.
      let exact = try Self.widths.map { width throws(KernelError) in
        try Self.lengths.map { length throws(KernelError) in
          try bench.seconds(width, length, searching: false)
        }
      }
      let search = try Self.widths.map { width throws(KernelError) in
        try Self.lengths.map { length throws(KernelError) in
          try bench.seconds(width, length, searching: true)
        }
      }
      try bench.find(each)
      let parts = [Self.wanted, each].map {
        Self.part(of: Self.lengths[1], finding: $0, queries: group)
      }
      let most = try Self.widths.indices.map { width throws(KernelError) in
        Self.mostPart(
          exact: exact[width][1], parts: parts,
          search: [
            search[width][1],
            try bench.seconds(Self.widths[width], Self.lengths[1], searching: true),
          ])
      }
      return Found(
        positions: zip(exact, search).map { Self.crossing($0, $1) }.max() ?? Self.range.upperBound,
        mostPercent: Int((most.min() ?? 0) * 100))
    } catch {
      throw TransformerBackend.engineError(error, "attention could not be timed")
    }
  }

  /// Where lines through times at 4,096 and 16,384 positions cross, in steps of 1,024 positions; within
  /// ``range``.
  public static func crossing(_ exact: [Double], _ search: [Double]) -> Int {
    let span = Double(lengths[1] - lengths[0])
    let rise = (exact[1] - exact[0] - gain * (search[1] - search[0])) / span
    guard rise > 0 else { return range.upperBound }
    let behind = gain * search[0] - exact[0]
    let place = Double(lengths[0]) + behind / rise
    let steps = (min(place, Double(range.upperBound)) / 1024).rounded(.up)
    return min(max(Int(steps) * 1024, range.lowerBound), range.upperBound)
  }

  /// The part of `positions` that queries which have nothing in common find together, each `wanted`.
  static func part(of positions: Int, finding wanted: Int, queries: Int) -> Double {
    1 - pow(1 - Double(min(wanted, positions)) / Double(positions), Double(queries))
  }

  /// The part of all positions that a search may find to be faster than exact attention, from its times at
  /// two parts; 0 to 1/2.
  public static func mostPart(exact: Double, parts: [Double], search: [Double]) -> Double {
    let least = max((search[1] - search[0]) / (parts[1] - parts[0]), .leastNormalMagnitude)
    return min(max(parts[0] + (exact / gain - search[0]) / least, 0), 0.5)
  }

  /// Keys and values of a few layers, and both ways to attend to them.
  private final class Bench {
    private let team: ThreadTeam
    private let slab: KVSlab
    private var memory: RetrievalMemory
    private let makeMemory: (Int) throws(KernelError) -> RetrievalMemory
    private let attention: AttentionBatch
    private let queries: FloatMatrix
    private let output: FloatMatrix
    private let queryHeads: Int
    private let scale: Float

    init(
      _ crossing: RetrievalCrossing, _ retrieval: AttentionMethod.Retrieval
    ) throws(KernelError) {
      let c = crossing.parts.configuration
      team = crossing.team
      (queryHeads, scale) = (c.queryHeads, c.attentionScale)
      slab = try KVSlab(
        type: crossing.options.kvType ?? (crossing.parts.isAllFloat32 ? .f32 : .f16),
        layers: layers,
        kvHeads: c.kvHeads, headDimensions: c.headDimensions, byteLimit: physicalMemoryLimit(),
        placement: crossing.options.placement)
      let pages = lengths[1] / KVSlab.pageTokens + 1
      try slab.reserve(pages)
      var settings = retrieval
      settings.minimumPositions = lengths[0]
      let (slab, team) = (slab, team)
      makeMemory = { wanted throws(KernelError) in
        settings.wanted = wanted
        let memory = try RetrievalMemory(
          settings, slab: slab, queryHeads: c.queryHeads, scale: c.attentionScale, team: team,
          placement: crossing.options.placement)
        try memory.reserve(pages)
        return memory
      }
      memory = try makeMemory(wanted)
      attention = AttentionBatch(slab: slab)
      let most = widths.max() ?? 1
      queries = try FloatMatrix(rows: most, columns: c.queryHeads * c.headDimensions)
      output = try FloatMatrix(rows: most, columns: c.queryHeads * c.headDimensions)
      fill(pages)
    }

    /// From now on each query finds so many.
    func find(_ wanted: Int) throws(KernelError) { memory = try makeMemory(wanted) }

    /// Numbers of all sizes between -1 and 1.
    private func fill(_ pages: Int) {
      var random = SplitMix(state: 7)
      for row in 0..<queries.rows {
        queries.setRow(row, (0..<queries.columns).map { _ in random.next() })
      }
      let (slab, width) = (slab, slab.kvHeads * slab.headDimensions)
      team.forEachChunk(count: pages) { chunk in
        var keys = [Float](repeating: 0, count: width)
        for page in chunk {
          var random = SplitMix(state: UInt64(page))
          for layer in 0..<slab.layers {
            for slot in 0..<KVSlab.pageTokens {
              for index in 0..<width { keys[index] = random.next() }
              slab.write(page: page, slot: slot, layer: layer, keys: keys, values: keys)
            }
          }
        }
      }
    }

    /// The least time that one layer takes for `width` tokens behind `length` positions.
    func seconds(_ width: Int, _ length: Int, searching: Bool) throws(KernelError) -> Double {
      let table = (0...PageID(length / KVSlab.pageTokens)).map { $0 }
      let tables = [[PageID]](repeating: table, count: width)
      if searching {
        try memory.begin(
          ForwardBatch(
            tokens: (0..<width).map {
              BatchToken(token: 0, position: length, sequence: $0, wantsLogits: false)
            },
            sequences: tables, promptTokens: tables.map { _ in length }))
      }
      attention.begin(
        tables: tables, rows: (0..<width).map { AttentionRow(sequence: $0, position: length) },
        queryHeads: queryHeads, threads: team.width, planned: searching ? [] : nil)
      var best = Double.infinity
      for round in 0..<rounds * slab.layers {
        attention.select(layer: round % slab.layers)
        let begin = monotonicNanoseconds()
        if searching {
          memory.attend(layer: round % slab.layers, attention, queries: queries, into: output)
        } else {
          attendToAll()
        }
        // The first of each layer warms up.
        if round >= slab.layers {
          best = min(best, Double(monotonicNanoseconds() - begin) * 1e-9)
        }
      }
      return best
    }

    private func attendToAll() {
      let (attention, queries, output, scale) = (attention, queries, output, scale)
      team.forEachChunk(count: attention.units) { units in
        for unit in units {
          attention.attend(unit: unit, queries: queries, scale: scale, into: output)
        }
      }
      guard attention.merges > 0 else { return }
      team.forEachChunk(count: attention.merges) { merges in
        for merge in merges { attention.merge(merge, queries: queries, into: output) }
      }
    }
  }
}

/// Plain random numbers for contents that nobody reads.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Float(Int32(truncatingIfNeeded: mix64(state))) * 0x1p-31
  }
}

extension Autotuner {
  /// Where retrieval begins, and how much it may find, if `retrieval` does not say where it begins: measured,
  /// or measured earlier; nil by an effort that measures nothing where nothing is kept.
  public func retrievalCrossing(
    _ retrieval: AttentionMethod.Retrieval, effort: Effort, team: ThreadTeam
  ) throws -> (found: RetrievalCrossing.Found, origin: Tuning.Origin)? {
    func chosen(_ positions: Int, _ most: Int) -> RetrievalCrossing.Found {
      .init(positions: positions, mostPercent: retrieval.mostPercent ?? most)
    }
    if let given = retrieval.minimumPositions {
      return (chosen(given, AttentionMethod.Retrieval.standardMostPercent), .given)
    }
    guard effort != .off else { return nil }
    let type = options.kvType?.rawValue ?? "default"
    let identity =
      "\(parts.tuningIdentity); \(type) keys and values; \(team.width) threads: "
      + "\(team.plan.description); retrieval of \(retrieval.nibbles) nibbles"
    var record = store?.record(identity) ?? TuningRecord(identity: identity)
    if effort != .thorough, let kept = record.retrieveFrom, let most = record.retrieveMost,
      RetrievalCrossing.range.contains(kept), (0...100).contains(most)
    {
      return (chosen(kept, most), .cached)
    }
    guard effort == .thorough || (effort == .quick && store != nil) else { return nil }
    let load = OtherLoad()
    let found = try RetrievalCrossing(parts: parts, options: options, team: team)
      .measure(retrieval)
    guard load.isQuiet else {
      // A text would depend on what else runs.
      logger.info("other processes ran while attention was timed: retrieval begins as standard")
      return nil
    }
    (record.retrieveFrom, record.retrieveMost) = (found.positions, found.mostPercent)
    keep(record)
    return (chosen(found.positions, found.mostPercent), .measured)
  }
}
