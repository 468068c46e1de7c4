/// Times of one thing and how near they came to the limit: what rows of several benchmarks share.
public struct Timing: Encodable, Sendable, Equatable {
  public let medianNs: Double
  public let minNs: Double
  /// 95 % interval of the median.
  public let lowNs: Double
  public let highNs: Double
  public let samplesNs: [Double]
  /// The median of the limits beside the samples.
  public let limitNs: Double
  /// The limit beside each sample.
  public let limitSamplesNs: [Double]
  /// The median of the samples' own fractions, see ``LimitedSamples/fraction(_:)``.
  public let fractionOfLimit: Double

  /// Of `work` in each sample.
  public init(_ samples: LimitedSamples, work: Work) {
    let times = samples.samples
    medianNs = times.median
    minNs = times.minimum
    lowNs = times.interval.lowerBound
    highNs = times.interval.upperBound
    samplesNs = times.nanoseconds
    limitSamplesNs = samples.limitNs(work).map { $0.rounded() }
    limitNs = Samples.median(limitSamplesNs)
    fractionOfLimit = samples.fraction(work)
  }
}

/// What tells a row of a benchmark from the others.
public protocol TimedCell: Encodable, Sendable {
  /// Column titles for people.
  static var header: [String] { get }
  /// One text per title, of a row of this cell.
  func texts(_ row: TimedRow<Self>) -> [String]
}

/// One cell of a benchmark with its work and times. JSON has the fields of all three side by side;
/// from Swift they read as the row's own too.
@dynamicMemberLookup
public struct TimedRow<Cell: TimedCell>: BenchRow {
  public let cell: Cell
  public let timing: Timing
  /// Bytes and operations by the formula of the report's context.
  public let bytes: Double
  public let operations: Double
  /// Threads that computed.
  public let threads: Int
  /// Runs this row again.
  public let command: String

  /// A row of `samples`, in each of which `work` was done.
  public init(_ cell: Cell, samples: LimitedSamples, work: Work, threads: Int, command: String) {
    self.cell = cell
    timing = Timing(samples, work: work)
    bytes = work.bytes
    operations = work.totalOperations
    self.threads = threads
    self.command = command
  }

  /// A field of the cell.
  public subscript<Value>(dynamicMember path: KeyPath<Cell, Value>) -> Value {
    cell[keyPath: path]
  }
  /// A field of the times.
  public subscript<Value>(dynamicMember path: KeyPath<Timing, Value>) -> Value {
    timing[keyPath: path]
  }

  public static var header: [String] { Cell.header }
  public var cells: [String] { cell.texts(self) }

  private enum Keys: CodingKey { case bytes, operations, threads, command }

  public func encode(to encoder: any Encoder) throws {
    try cell.encode(to: encoder)
    try timing.encode(to: encoder)
    var container = encoder.container(keyedBy: Keys.self)
    try container.encode(bytes, forKey: .bytes)
    try container.encode(operations, forKey: .operations)
    try container.encode(threads, forKey: .threads)
    try container.encode(command, forKey: .command)
  }
}
