/// Bytes that no edge of a graph tells apart share a class, so that tables have tens of columns and
/// not 256.
struct ByteClasses: Sendable {
  /// The class of each byte.
  let classOf: [UInt8]
  /// How many classes there are, at most 256.
  let count: Int
  /// The bytes of each class, as ranges.
  let ranges: [[ClosedRange<UInt8>]]

  init(_ graph: PatternGraph) {
    var seen = Set<Int32>()
    for edge in graph.edges where edge.label >= 0 { seen.insert(edge.label) }
    // Where some range begins, or the byte after its end.
    var begins = [Bool](repeating: false, count: 257)
    begins[0] = true
    for label in seen {
      begins[Int(label & 0xFF)] = true
      begins[Int(label >> 8) + 1] = true
    }
    // Intervals that the same ranges cover behave alike wherever they lie.
    var classes: [Set<Int32>: UInt8] = [:]
    var classOf = [UInt8](repeating: 0, count: 256)
    var ranges: [[ClosedRange<UInt8>]] = []
    var start = 0
    while start < 256 {
      var end = start
      while !begins[end + 1] && end < 255 { end += 1 }
      let covering = seen.filter { Int($0 & 0xFF) <= start && Int($0 >> 8) >= end }
      let index = classes[covering] ?? UInt8(truncatingIfNeeded: classes.count)
      if classes.updateValue(index, forKey: covering) == nil { ranges.append([]) }
      for byte in start...end { classOf[byte] = index }
      ranges[Int(index)].append(UInt8(start)...UInt8(end))
      start = end + 1
    }
    self.classOf = classOf
    self.ranges = ranges
    count = ranges.count
  }
}
