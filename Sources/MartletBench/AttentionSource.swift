import Martlet
import MartletKernels

/// Where one key-value head's keys, values and queries come from.
protocol AttentionSource {
  var dimensions: Int { get }
  /// What products are multiplied by; nil to be chosen for a given spread of scores.
  var scale: Float? { get }
  /// The next position's key, and its value.
  mutating func key() -> [Float]
  mutating func value() -> [Float]
  /// How many different queries to fit to there are; nil: any number.
  var fitQueries: Int? { get }
  /// A query to fit an index to, and one to search with.
  mutating func fitQuery() -> [Float]
  mutating func query() -> [Float]
}

extension SyntheticAttention: AttentionSource {
  var scale: Float? { nil }
  var fitQueries: Int? { nil }
  mutating func fitQuery() -> [Float] { query() }
}

/// Keys, values and queries that a model had, from a file as `Benchmarks/Model/dump_long.py` writes it.
struct DumpedAttention: AttentionSource {
  let dimensions: Int
  let scale: Float?
  /// Positions taken from the file: the last so many.
  private let positions: Range<Int>
  private let keys: [Float]
  private let values: [Float]
  private let fit: [Float]
  private let queries: [Float]
  private var given = (keys: 0, values: 0, fit: 0, queries: 0)

  var fitQueries: Int? { fit.count / dimensions }
  mutating func key() -> [Float] { row(keys, &given.keys, from: positions) }
  mutating func value() -> [Float] { row(values, &given.values, from: positions) }
  mutating func fitQuery() -> [Float] { row(fit, &given.fit, from: 0..<fit.count / dimensions) }
  mutating func query() -> [Float] {
    row(queries, &given.queries, from: 0..<queries.count / dimensions)
  }

  /// Rows in turn, from the beginning again after the last.
  private func row(_ matrix: [Float], _ next: inout Int, from rows: Range<Int>) -> [Float] {
    let row = rows.lowerBound + next % rows.count
    next += 1
    return Array(matrix[row * dimensions..<(row + 1) * dimensions])
  }
}

extension DumpedAttention {
  /// A layer's key-value head in a file.
  struct Head: Hashable {
    let layer: Int
    let kvHead: Int
    let positions: Int
    let dimensions: Int
  }

  /// The heads of a file, in order.
  /// - Throws: `BenchError` naming the file and what is wrong with it.
  static func heads(of file: GGUFFile) throws(BenchError) -> [Head] {
    let heads = file.tensorList.compactMap { tensor -> Head? in
      let parts = tensor.name.split(separator: ".")
      guard parts.count == 4, parts[0] == "attn", parts[3] == "keys", tensor.shape.count == 2,
        let layer = Int(parts[1]), let kvHead = Int(parts[2])
      else { return nil }
      return Head(
        layer: layer, kvHead: kvHead, positions: tensor.shape[1], dimensions: tensor.shape[0])
    }.sorted { ($0.layer, $0.kvHead) < ($1.layer, $1.kvHead) }
    guard !heads.isEmpty else {
      throw BenchError(
        .argument,
        "\(file.path) has no tensor attn.LAYER.HEAD.keys; write it with "
          + "Benchmarks/Model/dump_long.py")
    }
    return heads
  }

  /// The last `count` positions of a head, and its queries.
  init(_ file: GGUFFile, _ head: Head, count: Int) throws(BenchError) {
    func matrix(_ part: String, rows: Int?) throws(BenchError) -> [Float] {
      let name = "attn.\(head.layer).\(head.kvHead).\(part)"
      guard let tensor = file.tensors[name], tensor.shape.count == 2,
        tensor.shape[0] == head.dimensions, rows ?? tensor.shape[1] == tensor.shape[1],
        tensor.shape[1] > 0
      else {
        throw BenchError(
          .argument,
          "\(file.path): tensor '\(name)' is missing or not "
            + "[\(head.dimensions), \(rows.map(String.init) ?? "1 or more")]")
      }
      do {
        let values = try file.floats(tensor)
        guard values.allSatisfy(\.isFinite) else {
          throw BenchError(
            .argument, "\(file.path): tensor '\(name)' has values that are not finite")
        }
        return values
      } catch let error as BenchError {
        throw error
      } catch {
        throw BenchError(.argument, "\(error)")
      }
    }
    do {
      scale = Float(try file.metadata.float("attention-dump.scale"))
    } catch {
      throw BenchError(.argument, "\(file.path): \(error)")
    }
    dimensions = head.dimensions
    positions = head.positions - count..<head.positions
    keys = try matrix("keys", rows: head.positions)
    values = try matrix("values", rows: head.positions)
    fit = try matrix("fit", rows: nil)
    queries = try matrix("queries", rows: nil)
  }
}
