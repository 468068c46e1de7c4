/// Where the memory of packed weights goes on a machine with several NUMA nodes.
public struct WeightPlacement: Sendable {
  /// Which workers read each copy, as a range of worker indices; at least one range. With one copy
  /// all workers read it, each mostly the columns that `ParallelFor.split` gives it.
  public var readers: [Range<Int>]
  /// Called with the memory of copy `copy` before its first byte is written. It holds `tiles` column
  /// tiles of equal length one after another.
  public var place: @Sendable (_ memory: AlignedMemory, _ tiles: Int, _ copy: Int) -> Void

  public init(
    readers: [Range<Int>],
    place: @escaping @Sendable (_ memory: AlignedMemory, _ tiles: Int, _ copy: Int) -> Void
  ) {
    self.readers = readers
    self.place = place
  }
}

extension ParallelFor {
  /// Copies one block to another of the same size on `workers`, which so touch its pages first.
  func copy(_ source: AlignedMemory, to target: AlignedMemory, workers: Range<Int>) {
    let present = workers.clamped(to: 0..<width)
    let readers = present.isEmpty ? 0..<1 : present
    run { worker in
      guard readers.contains(worker) else { return }
      // Whole pages each: two workers that share a page would make its place a matter of chance.
      let part = workerRange(
        worker - readers.lowerBound, of: readers.count, count: source.byteCount,
        granularity: 1 << 16)
      guard !part.isEmpty else { return }
      (target.base + part.lowerBound).copyMemory(
        from: source.base + part.lowerBound, byteCount: part.count)
    }
  }
}
