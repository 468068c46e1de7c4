import Foundation
import Martlet
import MartletMachine
import MartletModel

/// Measures the way from a file to the first token: mapping, packing, the first forward pass, and
/// the peak of memory. Each sample is a process of its own, because a peak is a process's.
public enum OpenBench {
  /// Whether the file's pages may be in the system's cache when a sample begins.
  public enum PageCache: String, CaseIterable, Codable, Sendable {
    case cold, warm
  }

  /// What to measure; lists run as a product.
  public struct Settings: Sendable {
    public var model: String
    public var pageCaches = [PageCache.warm]
    public var repetitions = 3
    /// A program that prints a ``Sample`` as JSON.
    public var sampler: [String]
    public var command = "martlet bench open"
    public var version = ""

    /// The defaults, for one model.
    public init(model: String, sampler: [String]) {
      self.model = model
      self.sampler = sampler
    }
  }

  /// What one process saw.
  public struct Sample: Codable, Sendable {
    /// Mapping the file and reading its metadata.
    public var mapNs: Double
    /// From there to a session that is ready, tuning left out: packing, or mapping what was packed
    /// before.
    public var packNs: Double
    /// Measuring threads and prefill chunks.
    public var tuningNs: Double
    /// From there to the first token of a one-token prompt.
    public var firstForwardNs: Double
    public var fileBytes: Double
    public var packedBytes: Double
    /// The most memory that was resident, file pages included.
    public var peakRssBytes: Double
    public var threads: Int
    /// What the pack cache did, and the parts of packing.
    public var opening: OpeningReport
  }

  /// Samples in one state of the page cache for which the pack cache did the same.
  public struct Row: BenchRow {
    public let pageCache: PageCache
    public let packCache: OpeningReport.Cache
    public let threads: Int
    public let fileBytes: Double
    public let packedBytes: Double
    /// Medians of the parts.
    public let mapNs: Double
    public let packNs: Double
    public let tuningNs: Double
    public let firstForwardNs: Double
    /// Of parts of packing: finding, mapping and verifying what was packed before, packing, and writing
    /// to the cache as far as opening waited for it.
    public let lookUpNs: Double
    public let repackNs: Double
    public let writeNs: Double
    /// Of the whole.
    public let medianNs: Double
    public let minNs: Double
    /// 95 % interval of the median.
    public let lowNs: Double
    public let highNs: Double
    public let samplesNs: [Double]
    /// The largest of all samples.
    public let peakRssBytes: Double
    public let peakOverFile: Double
    public let command: String

    public static let header = [
      "page cache", "pack cache", "samples", "threads", "file MB", "map ms", "pack ms", "tuning ms",
      "first forward ms", "total ms", "peak / file",
    ]
    public var cells: [String] {
      [
        pageCache.rawValue, packCache.rawValue, "\(samplesNs.count)", "\(threads)",
        short(fileBytes / 1e6), short(mapNs / 1e6), short(packNs / 1e6), short(tuningNs / 1e6),
        short(firstForwardNs / 1e6), short(medianNs / 1e6), short(peakOverFile),
      ]
    }
  }

  /// Runs the benchmark.
  /// - Throws: `BenchError`, `MachineError`.
  public static func run(
    _ settings: Settings, team: ThreadTeam, progress: (Double, String) -> Void = { _, _ in }
  ) throws -> BenchReport<Row> {
    try BenchError.require("repetitions", [settings.repetitions], in: 1...1_000)
    guard !settings.pageCaches.isEmpty, !settings.sampler.isEmpty else {
      throw BenchError(.argument, "the list of page cache states or the sampler's command is empty")
    }
    var context = BenchContext(
      bench: "open", version: settings.version, team: team,
      settings: ["model": settings.model, "repetitions": "\(settings.repetitions)"])
    context.formula = """
      total = map + pack + tuning + first forward, each sample in a process of its own; peak / file = \
      largest VmHWM / bytes of the file
      """
    let total = Double(settings.pageCaches.count * settings.repetitions)
    var samples: [PageCache: [Sample]] = [:]
    // The pack cache's file, from the sample before.
    var packed: String?
    for repetition in 0..<settings.repetitions {
      for (index, state) in settings.pageCaches.enumerated() {
        progress(
          Double(repetition * settings.pageCaches.count + index) / total,
          "page cache \(state.rawValue)")
        if state == .cold {
          try dropPages(of: settings.model)
          if let packed, FileManager.default.fileExists(atPath: packed) {
            try dropPages(of: packed)
          }
        }
        let taken = try sample(settings.sampler)
        packed = taken.opening.cachePath
        samples[state, default: []].append(taken)
      }
    }
    return BenchReport(
      context: context,
      rows: settings.pageCaches.flatMap { rows($0, samples[$0] ?? [], settings) })
  }

  /// Opens the model in this process and draws one token: what a sampler does.
  /// - Throws: as opening a session does.
  public static func sampleHere(model: String, open: () throws -> Session) throws -> Sample {
    let begin = monotonicNanoseconds()
    let file = try GGUFFile(path: model)
    let bytes = try size(of: file.path)
    let mapped = monotonicNanoseconds()
    let session = try open()
    let opened = monotonicNanoseconds()
    let runner = BranchRunner(engine: session.engine, sampling: .greedy)
    let run = try runner.makeRun(tokens: 1)
    let forward = try runner.prefill(run)
    let tuning = session.tuning.seconds * 1e9
    return Sample(
      mapNs: Double(mapped - begin), packNs: Double(opened - mapped) - tuning, tuningNs: tuning,
      firstForwardNs: forward, fileBytes: Double(bytes),
      packedBytes: Double(session.model.packedByteCount),
      peakRssBytes: Double(try peakResidentBytes()), threads: session.team.width,
      opening: session.model.opening)
  }

  // MARK: Samples

  private static func sample(_ command: [String]) throws(BenchError) -> Sample {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    let pipe = Pipe()
    process.standardOutput = pipe
    do {
      try process.run()
      let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw BenchError(.system, "opening the model failed; the reason is above")
      }
      return try JSONDecoder().decode(Sample.self, from: output)
    } catch let error as BenchError {
      throw error
    } catch {
      throw BenchError(.system, "\(command[0]) gave no sample: \(error.localizedDescription)")
    }
  }

  /// One row for each thing that the pack cache did, in the order in which it first did them.
  private static func rows(_ state: PageCache, _ list: [Sample], _ settings: Settings) -> [Row] {
    var kinds: [OpeningReport.Cache] = []
    for sample in list where !kinds.contains(sample.opening.cache) {
      kinds.append(sample.opening.cache)
    }
    return kinds.map { kind in row(state, list.filter { $0.opening.cache == kind }, settings) }
  }

  private static func row(_ state: PageCache, _ list: [Sample], _ settings: Settings) -> Row {
    let whole = Samples(
      list.map { ($0.mapNs + $0.packNs + $0.tuningNs + $0.firstForwardNs).rounded() })
    func median(_ part: (Sample) -> Double) -> Double { Samples.median(list.map(part)) }
    let file = list.first?.fileBytes ?? 0
    let peak = list.map(\.peakRssBytes).max() ?? 0
    return Row(
      pageCache: state, packCache: list.first?.opening.cache ?? .off,
      threads: list.first?.threads ?? 0, fileBytes: file,
      packedBytes: list.first?.packedBytes ?? 0, mapNs: median(\.mapNs), packNs: median(\.packNs),
      tuningNs: median(\.tuningNs), firstForwardNs: median(\.firstForwardNs),
      lookUpNs: median { $0.opening.lookUpSeconds * 1e9 },
      repackNs: median { $0.opening.packSeconds * 1e9 },
      writeNs: median { $0.opening.writeSeconds * 1e9 }, medianNs: whole.median,
      minNs: whole.minimum, lowNs: whole.interval.lowerBound, highNs: whole.interval.upperBound,
      samplesNs: whole.nanoseconds, peakRssBytes: peak,
      peakOverFile: file > 0 ? peak / file : 0,
      command: "\(settings.command) --page-cache \(state.rawValue)")
  }

  private static func size(of path: String) throws(BenchError) -> Int {
    do {
      let size = try FileManager.default.attributesOfItem(atPath: path)[.size]
      return (size as? NSNumber)?.intValue ?? 0
    } catch {
      throw BenchError(.system, "\(path): \(error.localizedDescription)")
    }
  }

  /// The process's largest resident size so far, from the kernel. Not getrusage's, which a process
  /// inherits from the one that started it.
  private static func peakResidentBytes() throws(BenchError) -> Int {
    guard let bytes = OpeningReport.peakResidentBytes else {
      throw BenchError(.system, "/proc/self/status tells no VmHWM: peak memory cannot be measured")
    }
    return bytes
  }

  /// Asks the system to forget the cached pages of a file.
  private static func dropPages(of path: String) throws(BenchError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw BenchError(.system, "cannot open \(path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    #if os(Linux)
      // Pages that were just written must reach the disk first, or they stay.
      fsync(descriptor)
      let refusal = posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED))
      guard refusal == 0 else {
        throw BenchError(
          .system, "\(path): pages stay cached: \(String(cString: strerror(refusal)))")
      }
    #else
      throw BenchError(.system, "a cold page cache can be had on Linux only; use --page-cache warm")
    #endif
  }
}
