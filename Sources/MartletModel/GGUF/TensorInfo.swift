/// One tensor of a model file: what it is and where its bytes are.
public struct TensorInfo: Sendable, Equatable {
  /// The name, e.g. `blk.0.attn_q.weight`.
  public let name: String
  /// Elements per dimension, contiguous dimension first: a matrix is [depth, outputs].
  public let shape: [Int]
  /// How elements are stored.
  public let type: GGUFTensorType
  /// Product of the shape.
  public let elementCount: Int
  /// Bytes in the file.
  public let byteCount: Int
  /// Which part of a split model holds it, from 0.
  public let part: Int
  /// Where its bytes start in that part's file.
  public let offset: Int

  /// The shape for messages: `[256, 96]`.
  var shapeText: String { "[" + shape.map(String.init).joined(separator: ", ") + "]" }
}
