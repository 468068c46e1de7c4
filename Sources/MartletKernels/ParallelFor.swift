/// Something that runs one body on several threads at once and waits for all of them.
///
/// Kernels never start threads; whoever calls them splits the work with this.
public protocol ParallelFor: Sendable {
  /// How many workers run the body; at least 1.
  var width: Int { get }
  /// Calls `body` once per worker index in `0 ..< width`, concurrently, and returns when all did.
  func run(_ body: @Sendable (_ worker: Int) -> Void)
}

/// Runs everything on the calling thread.
public struct SerialFor: ParallelFor {
  public init() {}
  public var width: Int { 1 }
  public func run(_ body: @Sendable (_ worker: Int) -> Void) { body(0) }
}

extension ParallelFor {
  /// Splits `0 ..< count` into one contiguous range per worker, each starting at a multiple of
  /// `granularity`, as evenly as that allows. Workers beyond the work get nothing to do.
  public func split(
    _ count: Int, granularity: Int = 1, _ body: @Sendable (_ range: Range<Int>) -> Void
  ) {
    let width = self.width
    run { worker in
      let range = workerRange(worker, of: width, count: count, granularity: granularity)
      if !range.isEmpty { body(range) }
    }
  }
}

/// The part of `0 ..< count` that belongs to `worker` of `width`: contiguous, starting at a multiple
/// of `granularity`; the parts of all workers cover the whole once.
public func workerRange(
  _ worker: Int, of width: Int, count: Int, granularity: Int = 1
) -> Range<Int> {
  precondition(width > 0 && worker >= 0 && worker < width, "worker \(worker) of \(width)")
  precondition(count >= 0 && granularity > 0, "count \(count), granularity \(granularity)")
  let units = (count + granularity - 1) / granularity
  let begin = units * worker / width * granularity
  let end = units * (worker + 1) / width * granularity
  return min(begin, count)..<min(end, count)
}
