import CHwloc
import Foundation

extension Topology {
  /// The topology of another machine.
  ///
  /// - Parameter description: a file that `lstopo FILE.xml` or `hwloc-export` wrote there, or one of
  ///   hwloc's synthetic descriptions such as `package:2 numa:4 core:8 pu:2`.
  /// - Throws: `MachineError` `.file` for a file that cannot be opened, `.topology` for one that
  ///   hwloc cannot read or that has no CPUs, `.argument` for a description that it cannot read.
  public static func read(_ description: String) throws(MachineError) -> Topology {
    let isFile =
      description.hasSuffix(".xml") || FileManager.default.fileExists(atPath: description)
    if isFile { try checkExport(description) }
    let topology = readHwloc(allowed: nil, source: description) { handle in
      isFile
        ? hwloc_topology_set_xml(handle, description)
        : hwloc_topology_set_synthetic(handle, description)
    }
    guard let topology else {
      if isFile {
        throw MachineError(
          .topology,
          "\(description) is no topology that hwloc can read; export one with 'lstopo FILE.xml'")
      }
      throw MachineError(
        .argument,
        "'\(description)' is neither a file nor a synthetic topology; write for instance "
          + "'package:2 numa:4 core:8 pu:2'")
    }
    return topology
  }

  /// Refuses what hwloc would read without end (a pipe) or end the process for: it follows the CPU
  /// and node sets of every object without looking whether the file has them.
  private static func checkExport(_ path: String) throws(MachineError) {
    let file = try MappedFile(path: path)
    let refusal = MachineError(
      .topology,
      "\(path) is no topology that hwloc can read; export one with 'lstopo FILE.xml'")
    let largest = 64 << 20
    guard file.count < largest else { throw refusal }
    let text = String(decoding: try file.bytes(in: 0..<file.count), as: UTF8.self)
    let objects = text.split(separator: "<").filter { $0.hasPrefix("object ") }
    // Devices have no sets; everything that has one has all.
    let sets = [" cpuset=\"0x", " complete_cpuset=\"0x", " nodeset=\"0x", " complete_nodeset=\"0x"]
    let deviceTypes = ["Bridge", "PCIDev", "OSDev", "Misc"]
    let isSound = objects.allSatisfy { object in
      deviceTypes.contains { object.contains("type=\"\($0)\"") }
        || sets.allSatisfy { object.contains($0) }
    }
    guard isSound, objects.first?.contains("type=\"Machine\"") == true else { throw refusal }
  }

  /// hwloc's view of a machine cut down to `allowed` (nil for all that it lets this process use), or
  /// nil when hwloc cannot read it or finds none of those CPUs. `prepare` says which machine.
  static func readHwloc(
    allowed: Set<Int>?, source: String = "hwloc",
    prepare: (hwloc_topology_t) -> Int32 = { _ in 0 }
  ) -> Topology? {
    var handle: hwloc_topology_t?
    guard hwloc_topology_init(&handle) == 0, let handle else { return nil }
    defer { hwloc_topology_destroy(handle) }
    guard prepare(handle) == 0, hwloc_topology_load(handle) == 0 else { return nil }
    let allowed = allowed ?? Set(HwlocReader.members(of: hwloc_topology_get_allowed_cpuset(handle)))
    var topology = HwlocReader(handle: handle, allowed: allowed).read()
    topology.source = source
    return topology.units.isEmpty ? nil : topology
  }
}

/// Walks a loaded hwloc topology.
///
/// Pointers to hwloc objects stay inside this type: the topology owns them and outlives it.
private struct HwlocReader {
  let handle: hwloc_topology_t
  let allowed: Set<Int>

  func read() -> Topology {
    let packages = objects(HWLOC_OBJ_PACKAGE).filter { !cpus(of: $0).isEmpty }
    let nodes = numaNodes()
    // Where several nodes have the same CPUs (fast and large memory), the smallest number is the
    // ordinary one.
    let nodeOf = Dictionary(
      nodes.flatMap { node in node.cpus.map { ($0, node.id) } }, uniquingKeysWith: { min($0, $1) })
    let kindOf = coreKinds()

    // Where hwloc knows no cores, every unit counts as one.
    var coreObjects = objects(HWLOC_OBJ_CORE)
    if coreObjects.isEmpty { coreObjects = objects(HWLOC_OBJ_PU) }
    var cores: [Topology.Core] = []
    var units: [Topology.Unit] = []
    for object in coreObjects {
      let coreCPUs = cpus(of: object)
      guard let first = coreCPUs.first else { continue }
      let package = packages.firstIndex { cpus(of: $0).contains(first) } ?? 0
      units += coreCPUs.map { Topology.Unit(cpu: $0, core: cores.count) }
      cores.append(
        Topology.Core(
          cpus: coreCPUs, package: package, numaNode: nodeOf[first] ?? 0,
          kind: kindOf[first] ?? 0))
    }

    return Topology(
      source: "hwloc",
      packages: packages.isEmpty
        ? [Topology.Package(model: "")]
        : packages.map { Topology.Package(model: information("CPUModel", of: $0)) },
      numaNodes: nodes.isEmpty
        ? [Topology.NUMANode(id: 0, memoryBytes: 0, cpus: units.map(\.cpu))] : nodes,
      caches: caches(), cores: cores, units: units,
      machineCPUs: Int(max(0, hwloc_get_nbobjs_by_type(handle, HWLOC_OBJ_PU))))
  }

  private func numaNodes() -> [Topology.NUMANode] {
    let objects = objects(HWLOC_OBJ_NUMANODE)
    var nodes = objects.map { node in
      Topology.NUMANode(
        id: Int(node.pointee.os_index),
        memoryBytes: Int(clamping: node.pointee.attr?.pointee.numanode.local_memory ?? 0),
        cpus: cpus(of: node))
    }
    let stocked = nodes.indices.filter { nodes[$0].memoryBytes > 0 }
    guard !stocked.isEmpty else { return nodes }
    for index in nodes.indices where nodes[index].memoryBytes == 0 {
      let nearest = stocked.min {
        let (left, right) = (
          distance(objects[index], objects[$0]), distance(objects[index], objects[$1])
        )
        return left != right ? left < right : $0 < $1
      }
      nodes[index].memoryNode = nearest.map { nodes[$0].id } ?? nodes[index].id
    }
    return nodes
  }

  /// How far memory of `other` is from the CPUs of `node`: the firmware's latency where hwloc has
  /// it, else how deep in the tree their common ancestor is, nearer being smaller.
  private func distance(_ node: hwloc_obj_t, _ other: hwloc_obj_t) -> Int {
    var count: UInt32 = 1
    var matrix: UnsafeMutablePointer<hwloc_distances_s>?
    let kind = UInt(HWLOC_DISTANCES_KIND_MEANS_LATENCY.rawValue)
    if hwloc_distances_get_by_type(handle, HWLOC_OBJ_NUMANODE, &count, &matrix, kind, 0) == 0,
      count > 0, let matrix
    {
      defer { hwloc_distances_release(handle, matrix) }
      let size = Int(matrix.pointee.nbobjs)
      let listed = (0..<size).map { matrix.pointee.objs[$0] }
      if let row = listed.firstIndex(of: node), let column = listed.firstIndex(of: other) {
        return Int(clamping: matrix.pointee.values[row * size + column])
      }
    }
    let ancestor = hwloc_get_common_ancestor_obj(handle, node, other)
    return 1_000_000 - Int(ancestor?.pointee.depth ?? 0)
  }

  /// The rank of each CPU's kind, slowest 0. Empty on a machine of one kind, or where neither the
  /// system nor hwloc knows which kind is faster.
  private func coreKinds() -> [Int: Int] {
    let kinds = hwloc_cpukinds_get_nr(handle, 0)
    guard kinds > 1, let set = hwloc_bitmap_alloc() else { return [:] }
    defer { hwloc_bitmap_free(set) }
    var ranks: [Int: Int] = [:]
    for kind in 0..<UInt32(kinds) {
      var efficiency: Int32 = -1
      guard hwloc_cpukinds_get_info(handle, kind, set, &efficiency, nil, nil, 0) == 0,
        efficiency >= 0
      else { return [:] }
      for cpu in Self.members(of: set) { ranks[cpu] = Int(efficiency) }
    }
    // Kinds that this process may not use do not count.
    let used = Set(ranks.filter { allowed.contains($0.key) }.values).sorted()
    return ranks.compactMapValues { used.firstIndex(of: $0) }
  }

  private func caches() -> [Topology.Cache] {
    let types = [
      HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1ICACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
      HWLOC_OBJ_L4CACHE,
    ]
    return types.flatMap { objects($0) }.compactMap { object in
      let shared = cpus(of: object)
      guard !shared.isEmpty, let cache = object.pointee.attr?.pointee.cache else { return nil }
      let kind: Topology.Cache.Kind =
        switch cache.type {
        case HWLOC_OBJ_CACHE_DATA: .data
        case HWLOC_OBJ_CACHE_INSTRUCTION: .instruction
        default: .unified
        }
      return Topology.Cache(
        level: Int(cache.depth), kind: kind, bytes: Int(clamping: cache.size),
        lineBytes: Int(cache.linesize), cpus: shared)
    }
  }

  private func objects(_ type: hwloc_obj_type_t) -> [hwloc_obj_t] {
    let count = hwloc_get_nbobjs_by_type(handle, type)
    guard count > 0 else { return [] }
    return (0..<count).compactMap { hwloc_get_obj_by_type(handle, type, UInt32($0)) }
  }

  /// Allowed CPUs below `object`, ascending.
  private func cpus(of object: hwloc_obj_t) -> [Int] {
    Self.members(of: object.pointee.cpuset, upTo: allowed.max() ?? 0).filter(allowed.contains)
  }

  /// The numbers in `set` up to `last`, ascending; an infinite set would never end.
  static func members(of set: hwloc_const_bitmap_t?, upTo last: Int = 1 << 16) -> [Int] {
    guard let set else { return [] }
    var found: [Int] = []
    var member = hwloc_bitmap_next(set, -1)
    while member >= 0, Int(member) <= last {
      found.append(Int(member))
      member = hwloc_bitmap_next(set, member)
    }
    return found
  }

  private func information(_ name: String, of object: hwloc_obj_t) -> String {
    guard let value = hwloc_obj_get_info_by_name(object, name) else { return "" }
    return String(cString: value).trimmingCharacters(in: .whitespaces)
  }
}
