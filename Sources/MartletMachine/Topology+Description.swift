import Foundation

extension Topology: CustomStringConvertible {
  /// What `martlet topology` prints: a tree of packages, nodes, caches and cores, then the limits.
  public var description: String {
    var lines: [String] = []
    for (index, package) in packages.enumerated() {
      let own = cores.filter { $0.package == index }
      let cpus = own.flatMap(\.cpus)
      let model = package.model.isEmpty ? "" : ": \(package.model)"
      lines.append(
        "package \(index)\(model) (\(Self.counted(own.count, "core")), "
          + "\(Self.counted(cpus.count, "hardware thread")))")
      let ownNodes = Set(own.map(\.numaNode))
      for node in numaNodes where packages.count == 1 || ownNodes.contains(node.id) {
        lines.append("  " + describe(node))
      }
      for cache in distinctCaches(of: cpus) { lines.append("  " + cache) }
      for core in own {
        let kind = isHybrid ? ", kind \(core.kind)" : ""
        lines.append("  core on \(Self.cpuList(core.cpus)), node \(core.numaNode)\(kind)")
      }
    }
    lines.append(contentsOf: limitLines)
    return lines.joined(separator: "\n")
  }

  /// The topology as JSON with sorted keys.
  public func json() -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Only numbers, strings and arrays of them: encoding cannot fail on finite values.
    guard let data = try? encoder.encode(self) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  /// Ranges of CPU numbers as the system writes them: `CPUs 0-3,8`.
  static func cpuList(_ cpus: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for cpu in cpus.sorted() {
      if let last = ranges.last, last.upperBound + 1 == cpu {
        ranges[ranges.count - 1] = last.lowerBound...cpu
      } else {
        ranges.append(cpu...cpu)
      }
    }
    let text = ranges.map { range in
      range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }
    return (cpus.count == 1 ? "CPU " : "CPUs ") + text.joined(separator: ",")
  }

  /// A size in the largest binary unit that keeps it at least 1.
  static func size(_ bytes: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    let digits = value == value.rounded() || unit == 0 ? 0 : 1
    return String(format: "%.\(digits)f", value) + " " + units[unit]
  }

  private func describe(_ node: NUMANode) -> String {
    var memory = node.memoryBytes > 0 ? ", \(Self.size(node.memoryBytes)) of memory" : ""
    if node.memoryNode != node.id { memory = ", no memory, node \(node.memoryNode)'s is nearest" }
    let cpus = node.cpus.isEmpty ? "no CPUs" : Self.cpuList(node.cpus)
    return "NUMA node \(node.id)\(memory), \(cpus)"
  }

  /// One line per kind of cache in reach of `cpus`, with how many there are.
  private func distinctCaches(of cpus: [Int]) -> [String] {
    let own = caches.filter { cache in cache.cpus.contains(where: cpus.contains) }
    var lines: [String] = []
    for cache in own {
      let alike = own.filter {
        $0.level == cache.level && $0.kind == cache.kind && $0.bytes == cache.bytes
      }
      let kind = cache.kind == .unified ? "" : " \(cache.kind.rawValue)"
      let sharing = Set(alike.map(\.cpus.count)).max() ?? 1
      let line =
        "L\(cache.level)\(kind): \(alike.count) × \(Self.size(cache.bytes)), "
        + "\(cache.lineBytes)-byte lines, "
        + (sharing == 1 ? "one CPU each" : "\(sharing) CPUs each")
      if !lines.contains(line) { lines.append(line) }
    }
    return lines
  }

  private var limitLines: [String] {
    var lines: [String] = []
    let machine = machineCPUs > 0 ? " of the machine's \(machineCPUs)" : ""
    lines.append("usable: \(Self.cpuList(units.map(\.cpu)))\(machine)")
    if let cpuQuota {
      lines.append(
        "CPU quota of the control group: \(String(format: "%.2f", cpuQuota)) CPUs, so "
          + "\(Self.counted(usableCPUs, "thread")) at once")
    }
    if let memoryLimitBytes {
      lines.append("memory limit of the control group: \(Self.size(memoryLimitBytes))")
    }
    if source == "affinity" {
      lines.append("hwloc could not read this machine: caches and nodes are unknown")
    }
    return lines
  }

  /// Whether its cores are of several kinds.
  var isHybrid: Bool { Set(cores.map(\.kind)).count > 1 }

  static func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
  }
}
