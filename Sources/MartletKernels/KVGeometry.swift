import CMartlet

/// Where the parts of pages lie in a chunk of a slab.
///
/// In memory a page is one piece, layer by layer. On a device (`isApart`) a chunk holds all its keys before all
/// its values, each layer by layer and there page by page: a layer's keys, or its values, of neighbouring
/// pages are read in one go, ranking reads no value, and a position that a search has found costs the one
/// block that its values lie in.
struct KVGeometry {
  /// Of one layer in a page, and of a page, where they are one piece.
  let bytesPerLayer: Int
  let bytesPerPage: Int
  let pagesPerChunk: Int
  let bytesPerChunk: Int
  /// From a page to the next in its chunk, and from a layer to the next in a page.
  let pageStride: Int
  let layerStride: Int
  /// From a page's keys to its values; 0 where they follow.
  let valueOffset: Int
  /// What a layer of a page is made of: where it lies in one piece, where from the page's address on, and bytes.
  let pieces: [(place: Int, offset: Int, count: Int)]
  /// One position of a head, where keys are turned.
  let keyRowBytes: Int
  let valueRowBytes: Int
  /// Keys and their scales of one layer of a page, and values and theirs.
  let keyBytes: Int
  let valueBytes: Int

  /// nil for an impossible shape.
  init?(_ type: KVType, layers: Int, kvHeads: Int, headDimensions: Int, isApart: Bool) {
    var layout = KVSlab.layout(type, kvHeads, headDimensions)
    bytesPerLayer = Int(martlet_kv_page_bytes(&layout))
    guard bytesPerLayer > 0, let total = checkedProduct(bytesPerLayer, layers) else { return nil }
    bytesPerPage = total
    // About 16 MiB at a time: small models stay small, large ones get huge pages.
    pagesPerChunk = max(1, (16 << 20) / total)
    let keys = Int(martlet_kv_part_bytes(&layout, MARTLET_KV_KEYS))
    let values = Int(martlet_kv_part_bytes(&layout, MARTLET_KV_VALUES))
    let scales = Int(martlet_kv_part_bytes(&layout, MARTLET_KV_KEY_SCALES))
    // As the header says: values' rows are padded, keys' are not, and 64 bytes round the whole.
    let bits =
      switch type {
      case .f32: 32
      case .f16, .bf16: 16
      case .int8: 8
      case .int4: 4
      }
    keyRowBytes = (headDimensions * bits + 7) / 8
    valueRowBytes = values / (kvHeads * KVSlab.pageTokens)
    keyBytes = keys + scales
    valueBytes = values + scales
    guard isApart else {
      pageStride = total
      layerStride = bytesPerLayer
      valueOffset = 0
      bytesPerChunk = pagesPerChunk * total
      pieces = [(0, 0, bytesPerLayer)]
      return
    }
    // One distance serves all pages only if both sides have the same strides.
    pageStride = max(keyBytes, valueBytes)
    layerStride = pagesPerChunk * pageStride
    valueOffset = layers * layerStride
    bytesPerChunk = 2 * valueOffset
    pieces = [
      (0, 0, keys), (keys, valueOffset, values), (keys + values, keys, scales),
      (keys + values + scales, valueOffset + values, scales),
    ]
  }
}
