import Foundation
import MartletKernels
import MartletMachine

/// What was measured of one model on one machine, kept between starts.
public struct TuningRecord: Sendable, Codable, Equatable {
  /// Everything the figures depend on, in words; a record of another identity is not used.
  public var identity: String
  /// Cost by width, for the number of threads that the identity names.
  public var curve: CostCurve?
  /// The number of threads that did best.
  public var threads: Int?
  /// The size of prefill chunks that did best.
  public var prefillChunk: Int?

  /// The layers that draft best for the whole model.
  public var draftLayers: [Int]?

  /// Positions from which on retrieval attention is faster than attention to everything.
  public var retrieveFrom: Int?
  /// The per cent of their positions that heads may find for that.
  public var retrieveMost: Int?

  public init(identity: String) { self.identity = identity }
}

/// A folder of tuning records, a small JSON file each, owner-only.
///
/// Losing one costs a measurement. A damaged or foreign one is not believed.
public struct TuningStore: Sendable {
  /// The folder.
  public let path: String

  private static let suffix = ".martlet-tuning"
  private static let mostRecords = 64

  public init(path: String) { self.path = path }

  /// The record of `identity`, if there is a sound one.
  public func record(_ identity: String) -> TuningRecord? {
    let path = file(identity)
    guard CacheFolder.distrust(path) == nil,
      let data = try? Data(contentsOf: URL(fileURLWithPath: path)),
      let record = try? JSONDecoder().decode(TuningRecord.self, from: data),
      record.identity == identity
    else { return nil }
    // A curve that was edited by hand may be impossible.
    if let curve = record.curve, CostCurve(points: curve.points, origin: curve.origin) == nil {
      return nil
    }
    return record
  }

  /// Keeps a record in place of an earlier one of its identity, and forgets the oldest of many.
  /// - Throws: `MachineError` `.file` when the folder cannot be written.
  public func keep(_ record: TuningRecord) throws(MachineError) {
    try CacheFolder.make(path)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
    guard let data = try? encoder.encode(record) else {
      throw MachineError(.file, "a tuning record holds a number that JSON has not")
    }
    try AtomicFile.write(data, to: file(record.identity))
    for old in files().dropFirst(Self.mostRecords) { unlink(old) }
  }

  /// Removes all records and returns how many there were.
  public func clear() -> Int { files().count { unlink($0) == 0 } }

  private func file(_ identity: String) -> String {
    let sum = Array(identity.utf8).withUnsafeBytes { Checksum.xxh64($0) }
    return "\(path)/\(String(sum, radix: 16))\(Self.suffix)"
  }

  /// The newest first.
  private func files() -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.filter { $0.hasSuffix(Self.suffix) }.map { name -> (Double, String) in
      var information = stat()
      let path = "\(path)/\(name)"
      guard lstat(path, &information) == 0 else { return (0, path) }
      let time = information.st_mtim
      return (Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9, path)
    }
    .sorted { $0 > $1 }.map(\.1)
  }
}

/// What makes two measurements comparable.
enum TuningIdentity {
  /// The CPU, what may be used of it, and the program: a program built anew measures anew.
  static let machine: String = {
    let topology = try? Topology.current()
    let models = topology?.packages.map(\.model).joined(separator: ", ") ?? "unknown CPU"
    var information = stat()
    // Follows the link to the program itself.
    let program =
      stat("/proc/self/exe", &information) == 0
      ? "\(information.st_size) bytes of \(information.st_mtim.tv_sec)" : "unknown size"
    return "\(models); \(topology?.usableCPUs ?? 0) of \(topology?.machineCPUs ?? 0) CPUs; "
      + "\(ISA.active.joined(separator: " ")); program of \(program)"
  }()
}
