import CHwloc
import Foundation

extension Topology {
  /// hwloc's view of the machine cut down to `allowed`, or nil when hwloc cannot read it or finds
  /// none of those CPUs.
  static func readHwloc(allowed: Set<Int>) -> Topology? {
    var handle: hwloc_topology_t?
    guard hwloc_topology_init(&handle) == 0, let handle else { return nil }
    defer { hwloc_topology_destroy(handle) }
    guard hwloc_topology_load(handle) == 0 else { return nil }
    let reader = HwlocReader(handle: handle, allowed: allowed)
    let topology = reader.read()
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
    let nodes = objects(HWLOC_OBJ_NUMANODE).map { node in
      Topology.NUMANode(
        id: Int(node.pointee.os_index),
        memoryBytes: Int(clamping: node.pointee.attr?.pointee.numanode.local_memory ?? 0),
        cpus: cpus(of: node))
    }
    let nodeOf = Dictionary(
      nodes.flatMap { node in node.cpus.map { ($0, node.id) } }, uniquingKeysWith: { $1 })

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
        Topology.Core(cpus: coreCPUs, package: package, numaNode: nodeOf[first] ?? 0))
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
    guard let set = object.pointee.cpuset else { return [] }
    var found: [Int] = []
    var cpu = hwloc_bitmap_next(set, -1)
    while cpu >= 0 {
      if allowed.contains(Int(cpu)) { found.append(Int(cpu)) }
      // An infinite set never ends; nothing allowed lies past the last allowed CPU.
      if Int(cpu) > (allowed.max() ?? 0) { break }
      cpu = hwloc_bitmap_next(set, cpu)
    }
    return found
  }

  private func information(_ name: String, of object: hwloc_obj_t) -> String {
    guard let value = hwloc_obj_get_info_by_name(object, name) else { return "" }
    return String(cString: value).trimmingCharacters(in: .whitespaces)
  }
}
