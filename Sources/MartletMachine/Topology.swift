import Foundation

/// The part of this machine that the process may use: packages, NUMA nodes, caches, cores and
/// processing units, restricted to its CPU affinity and its control group.
public struct Topology: Codable, Sendable, Equatable {
  /// One hardware thread.
  public struct Unit: Codable, Sendable, Equatable {
    /// The operating system's CPU number.
    public var cpu: Int
    /// Index into `cores`.
    public var core: Int

    public init(cpu: Int, core: Int) {
      self.cpu = cpu
      self.core = core
    }
  }

  /// One physical core with the units of it that may be used.
  public struct Core: Codable, Sendable, Equatable {
    /// CPU numbers, ascending.
    public var cpus: [Int]
    /// Index into `packages`.
    public var package: Int
    /// The operating system's number of the NUMA node it belongs to.
    public var numaNode: Int
    /// How fast its kind of core is: 0 for the slowest, one more for each faster kind. 0 everywhere
    /// on a machine of one kind.
    public var kind: Int

    public init(cpus: [Int], package: Int, numaNode: Int, kind: Int = 0) {
      self.cpus = cpus
      self.package = package
      self.numaNode = numaNode
      self.kind = kind
    }
  }

  /// One processor package (socket).
  public struct Package: Codable, Sendable, Equatable {
    /// The processor's name, or empty where the system does not tell.
    public var model: String

    public init(model: String) { self.model = model }
  }

  /// One NUMA node that the process may take memory from.
  public struct NUMANode: Codable, Sendable, Equatable {
    /// The operating system's number.
    public var id: Int
    /// Memory in bytes, 0 where the system does not tell.
    public var memoryBytes: Int
    /// CPUs nearest to it.
    public var cpus: [Int]
    /// The node from which its CPUs should take memory: itself, or the nearest one that has some.
    public var memoryNode: Int

    /// - Parameter memoryNode: itself if nil.
    public init(id: Int, memoryBytes: Int, cpus: [Int], memoryNode: Int? = nil) {
      self.id = id
      self.memoryBytes = memoryBytes
      self.cpus = cpus
      self.memoryNode = memoryNode ?? id
    }
  }

  /// One cache and the CPUs that share it.
  public struct Cache: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable { case data, instruction, unified }
    /// 1 nearest to the core.
    public var level: Int
    public var kind: Kind
    public var bytes: Int
    public var lineBytes: Int
    public var cpus: [Int]

    public init(level: Int, kind: Kind, bytes: Int, lineBytes: Int, cpus: [Int]) {
      self.level = level
      self.kind = kind
      self.bytes = bytes
      self.lineBytes = lineBytes
      self.cpus = cpus
    }
  }

  /// Where the facts come from: `hwloc`, `affinity` when hwloc could not read the machine, or the
  /// file or description that ``read(_:)`` was given.
  public var source: String
  public var packages: [Package]
  public var numaNodes: [NUMANode]
  public var caches: [Cache]
  public var cores: [Core]
  public var units: [Unit]
  /// CPUs of the machine that are online, usable or not; 0 if unknown.
  public var machineCPUs: Int
  /// CPU time the control group grants, in CPUs, or nil without a quota.
  public var cpuQuota: Double?
  /// Memory the control group grants, in bytes, or nil without a limit.
  public var memoryLimitBytes: Int?

  /// How many threads can really run at once: allowed CPUs, or whole CPUs of the quota if fewer;
  /// at least 1.
  public var usableCPUs: Int {
    let allowed = max(1, units.count)
    guard let cpuQuota else { return allowed }
    return min(allowed, max(1, Int(cpuQuota.rounded(.down))))
  }

  /// A topology from its parts.
  public init(
    source: String, packages: [Package], numaNodes: [NUMANode], caches: [Cache], cores: [Core],
    units: [Unit], machineCPUs: Int, cpuQuota: Double? = nil, memoryLimitBytes: Int? = nil
  ) {
    self.source = source
    self.packages = packages
    self.numaNodes = numaNodes
    self.caches = caches
    self.cores = cores
    self.units = units
    self.machineCPUs = machineCPUs
    self.cpuQuota = cpuQuota
    self.memoryLimitBytes = memoryLimitBytes
  }

  /// What this process may use now: hwloc's view, or a flat one where hwloc cannot read the machine.
  /// - Throws: `MachineError` `.topology` when not even the process's own affinity can be read.
  public static func current() throws(MachineError) -> Topology {
    let allowed = try Affinity.current()
    var topology = readHwloc(allowed: allowed) ?? flat(cpus: allowed.sorted())
    let limits = ControlGroupLimits.current()
    topology.cpuQuota = limits.cpuQuota
    topology.memoryLimitBytes = limits.memoryBytes
    return topology
  }

  /// One package, one node, a core per CPU: what is assumed where nothing more is known.
  public static func flat(cpus: [Int]) -> Topology {
    Topology(
      source: "affinity", packages: [Package(model: "")],
      numaNodes: [NUMANode(id: 0, memoryBytes: 0, cpus: cpus)], caches: [],
      cores: cpus.map { Core(cpus: [$0], package: 0, numaNode: 0) },
      units: cpus.enumerated().map { Unit(cpu: $1, core: $0) }, machineCPUs: 0)
  }
}
