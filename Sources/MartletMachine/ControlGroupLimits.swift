import Foundation

/// CPU and memory limits that control groups (version 2 or 1) put on this process.
public struct ControlGroupLimits: Sendable, Equatable {
  /// CPU time granted, in CPUs; nil without a quota.
  public var cpuQuota: Double?
  /// Memory granted, in bytes; nil without a limit.
  public var memoryBytes: Int?

  /// The limits of this process; none where the system does not tell.
  public static func current() -> ControlGroupLimits {
    ControlGroupLimits { path in
      guard let data = FileManager.default.contents(atPath: path) else { return nil }
      return String(decoding: data, as: UTF8.self)
    }
  }

  /// The limits told by a system whose files `read` returns (nil for a file that is not there).
  ///
  /// A group's limit binds all groups below it, so the smallest on the way to the root counts. A
  /// container may see its own group as the root; ancestors that are not visible are skipped.
  public init(read: (_ path: String) -> String?) {
    let mounts = Self.mounts(read("/proc/self/mounts") ?? "")
    for line in (read("/proc/self/cgroup") ?? "").split(separator: "\n") {
      // hierarchy:controllers:path, with no controllers for version 2.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let path = String(fields[2])
      if fields[1].isEmpty {
        guard let mount = mounts.unified else { continue }
        for folder in Self.ancestors(of: path, under: mount) { readUnified(folder, read) }
      } else {
        for controller in fields[1].split(separator: ",").map(String.init) {
          guard let mount = mounts.controllers[controller] else { continue }
          for folder in Self.ancestors(of: path, under: mount) {
            readLegacy(controller, folder, read)
          }
        }
      }
    }
  }

  private mutating func readUnified(_ folder: String, _ read: (String) -> String?) {
    if let words = read(folder + "/cpu.max")?.split(whereSeparator: \.isWhitespace),
      words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0
    {
      lowerQuota(to: quota / period)
    }
    lowerMemory(to: read(folder + "/memory.max"))
  }

  private mutating func readLegacy(
    _ controller: String, _ folder: String, _ read: (String) -> String?
  ) {
    switch controller {
    case "cpu":
      if let quota = Self.number(read(folder + "/cpu.cfs_quota_us")),
        let period = Self.number(read(folder + "/cpu.cfs_period_us")), quota > 0, period > 0
      {
        lowerQuota(to: Double(quota) / Double(period))
      }
    case "memory":
      lowerMemory(to: read(folder + "/memory.limit_in_bytes"))
    default:
      break
    }
  }

  private mutating func lowerQuota(to cpus: Double) {
    guard cpus > 0 else { return }
    cpuQuota = min(cpuQuota ?? cpus, cpus)
  }

  private mutating func lowerMemory(to text: String?) {
    // Version 1 says "no limit" with a number near the largest; no machine has a pebibyte.
    guard let bytes = Self.number(text), bytes > 0, bytes < 1 << 50 else { return }
    memoryBytes = min(memoryBytes ?? bytes, bytes)
  }

  private static func number(_ text: String?) -> Int? {
    text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }

  /// Where the unified hierarchy and each version 1 controller are mounted.
  private static func mounts(_ text: String) -> (unified: String?, controllers: [String: String]) {
    var unified: String?
    var controllers: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ").map(String.init)
      guard fields.count >= 4 else { continue }
      switch fields[2] {
      case "cgroup2": unified = unified ?? fields[1]
      case "cgroup":
        for option in fields[3].split(separator: ",") {
          controllers[String(option)] = controllers[String(option)] ?? fields[1]
        }
      default: break
      }
    }
    return (unified, controllers)
  }

  /// `mount` + `path` and every folder between it and `mount`, that included.
  private static func ancestors(of path: String, under mount: String) -> [String] {
    var parts = path.split(separator: "/").filter { $0 != ".." }
    var folders: [String] = []
    while true {
      folders.append(([mount] + parts.map(String.init)).joined(separator: "/"))
      if parts.isEmpty { return folders }
      parts.removeLast()
    }
  }
}

/// The most memory this process can ever have, in bytes: the machine's, or the control group's limit
/// if that is lower.
public func physicalMemoryLimit() -> Int {
  let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
  return min(machine, ControlGroupLimits.current().memoryBytes ?? machine)
}
