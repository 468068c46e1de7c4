import Foundation
import MartletModel

/// The textbook transformer in float64, one sequence at a time, nothing cached.
struct ReferenceTransformer {
  struct Layer {
    let weights: LayerWeights
    let q, k, v, o, gate, up, down: [Double]
  }

  let c: TransformerConfiguration
  let layers: [Layer]
  let outputNorm: [Double]
  let output: [Double]
  let embedding: [Double]

  /// Logits after every token.
  func logits(_ tokens: [Token]) -> [[Double]] {
    var hidden = tokens.map { token in
      Array(embedding[Int(token) * c.width..<(Int(token) + 1) * c.width])
    }
    for layer in layers {
      let w = layer.weights
      let normed = hidden.map { norm($0, w.attentionNorm) }
      let queries = normed.enumerated().map { position, x in
        heads(add(product(layer.q, x), w.queryBias), norm: w.queryNorm, at: position)
      }
      let keys = normed.enumerated().map { position, x in
        heads(add(product(layer.k, x), w.keyBias), norm: w.keyNorm, at: position)
      }
      let values = normed.map { add(product(layer.v, $0), w.valueBias) }
      for position in tokens.indices {
        let attended = attention(queries[position], keys, values, position)
        hidden[position] = sum(hidden[position], product(layer.o, attended))
        let x = norm(hidden[position], w.feedForwardNorm)
        let gated = zip(product(layer.gate, x), product(layer.up, x)).map { gate, up in
          gate / (1 + exp(-gate)) * up
        }
        hidden[position] = sum(hidden[position], product(layer.down, gated))
      }
    }
    return hidden.map { product(output, norm($0, outputNorm.map(Float.init))) }
  }

  func attention(
    _ query: [Double], _ keys: [[Double]], _ values: [[Double]], _ position: Int
  ) -> [Double] {
    let d = c.headDimensions
    let first = max(0, position + 1 - (c.slidingWindow ?? .max / 2))
    return (0..<c.queryHeads).flatMap { head -> [Double] in
      let offset = head / (c.queryHeads / c.kvHeads) * d
      let scores = (first...position).map { other in
        Double(c.attentionScale)
          * (0..<d).reduce(0) { $0 + query[head * d + $1] * keys[other][offset + $1] }
      }
      let maximum = scores.max() ?? 0
      let weights = scores.map { exp($0 - maximum) }
      let total = weights.reduce(0, +)
      return (0..<d).map { dimension in
        zip(first...position, weights).reduce(0) { $0 + $1.1 * values[$1.0][offset + dimension] }
          / total
      }
    }
  }

  func heads(_ x: [Double], norm weight: [Float]?, at position: Int) -> [Double] {
    let d = c.headDimensions
    return stride(from: 0, to: x.count, by: d).flatMap { start -> [Double] in
      var head = Array(x[start..<start + d])
      if let weight { head = norm(head, weight) }
      let rotary = c.rope.rotaryDimensions
      for pair in 0..<rotary / 2 {
        let (i, j) =
          c.rope.layout == .adjacent ? (2 * pair, 2 * pair + 1) : (pair, pair + rotary / 2)
        let angle = Double(position) * pow(c.rope.base, -2 * Double(pair) / Double(rotary))
        (head[i], head[j]) = (
          head[i] * cos(angle) - head[j] * sin(angle), head[i] * sin(angle) + head[j] * cos(angle)
        )
      }
      return head
    }
  }

  func norm(_ x: [Double], _ weight: [Float]) -> [Double] {
    let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let scale = 1 / (mean + Double(c.normEpsilon)).squareRoot()
    return zip(x, weight).map { $0 * scale * Double($1) }
  }

  func product(_ weights: [Double], _ x: [Double]) -> [Double] {
    (0..<weights.count / x.count).map { row in
      x.indices.reduce(0) { $0 + weights[row * x.count + $1] * x[$1] }
    }
  }

  func add(_ x: [Double], _ bias: [Float]?) -> [Double] {
    guard let bias else { return x }
    return zip(x, bias).map { $0 + Double($1) }
  }

  func sum(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }
}
