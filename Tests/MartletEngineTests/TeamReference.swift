import Foundation
import MartletModel

/// Members of a team in float64 by the book: keys are kept unrotated, and for each token laid out in the
/// order in which it sees them, rotated there, and attended to as in one sequence.
struct TeamReference {
  typealias View = [(member: Int, positions: Range<Int>)]

  /// A token of a member at the next of its positions, and what it sees, its own position last.
  struct Row {
    let member: Int
    let token: Token
    let view: View
  }

  let model: ReferenceTransformer
  /// By layer, member and position.
  private var keys: [[[[Double]]]]
  private var values: [[[[Double]]]]

  init(_ model: ReferenceTransformer, members: Int) {
    self.model = model
    keys = Array(repeating: Array(repeating: [], count: members), count: model.layers.count)
    values = keys
  }

  /// One pass; the logits after each row.
  mutating func pass(_ rows: [Row]) -> [[Double]] {
    let c = model.c
    var hidden = rows.map { row in
      Array(model.embedding[Int(row.token) * c.width..<(Int(row.token) + 1) * c.width])
    }
    for (index, layer) in model.layers.enumerated() {
      let w = layer.weights
      let normed = hidden.map { model.norm($0, w.attentionNorm) }
      for (row, x) in zip(rows, normed) {
        keys[index][row.member].append(model.add(model.product(layer.k, x), w.keyBias))
        values[index][row.member].append(model.add(model.product(layer.v, x), w.valueBias))
      }
      for (number, row) in rows.enumerated() {
        let seen = row.view.flatMap { part in part.positions.map { (part.member, $0) } }
        let laid = seen.enumerated().map { place, from in
          model.heads(keys[index][from.0][from.1], norm: w.keyNorm, at: place)
        }
        let query = model.heads(
          model.add(model.product(layer.q, normed[number]), w.queryBias), norm: w.queryNorm,
          at: seen.count - 1)
        let attended = model.attention(
          query, laid, seen.map { values[index][$0.0][$0.1] }, seen.count - 1)
        hidden[number] = model.sum(hidden[number], model.product(layer.o, attended))
        let x = model.norm(hidden[number], w.feedForwardNorm)
        let gated = zip(model.product(layer.gate, x), model.product(layer.up, x)).map { gate, up in
          gate / (1 + exp(-gate)) * up
        }
        hidden[number] = model.sum(hidden[number], model.product(layer.down, gated))
      }
    }
    return hidden.map {
      model.product(model.output, model.norm($0, model.outputNorm.map(Float.init)))
    }
  }
}
