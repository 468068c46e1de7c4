import Foundation
import MartletKernels
import MartletMachine
import Testing

/// Plans for machines that are not here.
struct PlacementTests {
  @Test func twoSocketsOfFourNodes() throws {
    let topology = try Topology.read("package:2 numa:4 core:8 pu:2")
    #expect(topology.cores.count == 64 && topology.units.count == 128)
    let plan = try PlacementPlan(topology: topology)
    #expect(plan.workers.count == 64 && plan.nodes.map(\.id) == Array(0..<8))
    for (index, node) in plan.nodes.enumerated() {
      #expect(node.workers == 8 * index..<8 * index + 8)
      let cpus = node.workers.compactMap { plan.workers[$0].cpu }
      // First hardware threads alone, of this node's cores alone.
      #expect(cpus == (0..<8).map { 16 * index + 2 * $0 })
      #expect(plan.share(of: 512, node: index) == 64 * index..<64 * (index + 1))
      #expect(plan.share(of: 8, node: index) == index..<index + 1)
    }
    #expect(plan.isSharded && !plan.oversubscribed)
  }

  @Test(arguments: [
    (PlacementOptions.Order.auto, [0, 1], 16), (.compact, [0], 16), (.spread, Array(0..<8), 16),
    (.auto, [0], 6), (.spread, Array(0..<6), 6), (.nodes([5, 2]), [5, 2], 16),
  ])
  func ordersChooseNodes(order: PlacementOptions.Order, nodes: [Int], threads: Int) throws {
    let topology = try Topology.read("package:2 numa:4 core:8 pu:2")
    let plan = try PlacementPlan(
      PlacementOptions(threads: threads, order: order), topology: topology)
    #expect(plan.nodes.map(\.id) == nodes)
    #expect(Set(plan.workers.map(\.cpu)).count == threads)
    for node in plan.nodes {
      for worker in node.workers { #expect(plan.workers[worker].numaNode == node.id) }
    }
  }

  /// Every worker's part of a loop lies in its node's share, whatever the sizes.
  @Test(arguments: [1, 3, 5, 7, 13, 64, 100])
  func sharesCoverEverythingOnceAndMatchTheSplit(threads: Int) throws {
    let topology = try Topology.read("package:2 numa:2 core:3 pu:2")
    let plan = try PlacementPlan(
      PlacementOptions(threads: threads, order: .spread), topology: topology)
    for count in [0, 1, 2, 7, 12, 31, 4096] {
      var next = 0
      for index in plan.nodes.indices {
        let share = plan.share(of: count, node: index)
        #expect(share.lowerBound == next)
        next = share.upperBound
        for worker in plan.nodes[index].workers {
          let part = workerRange(worker, of: plan.workers.count, count: count)
          #expect(
            part.isEmpty || share.contains(part.lowerBound) && share.upperBound >= part.upperBound)
        }
      }
      #expect(next == count, "\(threads) threads, \(count) units")
    }
  }

  @Test func hybridCoresLeaveOutTheSlowestKind() throws {
    let topology = try Topology.read(fixture("hybrid"))
    #expect(topology.cores.map(\.kind) == [1, 1, 0, 0, 0, 0])
    let plan = try PlacementPlan(topology: topology)
    #expect(plan.workers.map(\.cpu) == [0, 2])
    #expect(plan.reasons.joined().contains("slowest kind of core is left out"))
    // More threads take slow cores before second hardware threads of fast ones.
    let all = try PlacementPlan(threads: 8, topology: topology)
    #expect(all.workers.map(\.cpu) == [0, 2, 4, 6, 8, 10, 1, 3])
    #expect(!all.oversubscribed)
  }

  @Test(arguments: [(1, 0), (2, 3)])
  func nodesWithoutMemoryUseTheNearest(emptied: Int, nearest: Int) throws {
    let text = try String(contentsOfFile: fixture("four-nodes"), encoding: .utf8)
    let lines = text.components(separatedBy: "\n").map { line in
      line.contains("\"NUMANode\" os_index=\"\(emptied)\"")
        ? line.replacingOccurrences(of: "local_memory=\"1073741824\"", with: "local_memory=\"0\"")
        : line
    }
    let path = temporaryPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    let topology = try Topology.read(path)
    #expect(topology.numaNodes.map(\.memoryNode) == (0..<4).map { $0 == emptied ? nearest : $0 })
    let plan = try PlacementPlan(topology: topology)
    #expect(plan.nodes.map(\.memoryNode) == (0..<4).map { $0 == emptied ? nearest : $0 })
    #expect(plan.memoryNodes == (0..<4).filter { $0 != emptied })
    #expect(plan.reasons.contains { $0.contains("Node \(emptied) has no memory") })
    let notes = BindingNotes()
    _ = try Self.packed(MemoryPlan(plan: plan, binder: notes.note).weights)
    #expect(Set(notes.nodes) == Set(plan.memoryNodes))
  }

  /// A container with two CPUs' worth of quota on a machine of eight cores.
  @Test func aContainersQuotaLimitsThePlan() throws {
    var topology = try Topology.read("package:1 numa:2 core:4 pu:2")
    let limits = ControlGroupLimits { path in
      [
        "/proc/self/cgroup": "0::/box\n", "/proc/self/mounts": "cgroup2 /c cgroup2 rw 0 0\n",
        "/c/box/cpu.max": "200000 100000\n",
      ][path]
    }
    topology.cpuQuota = limits.cpuQuota
    let plan = try PlacementPlan(topology: topology)
    #expect(plan.workers.map(\.cpu) == [0, 2] && plan.nodes.map(\.id) == [0])
    #expect(plan.reasons[0].contains("quota"))
    let spread = try PlacementPlan(PlacementOptions(order: .spread), topology: topology)
    #expect(spread.nodes.map(\.id) == [0, 1])
    #expect(try PlacementPlan(threads: 3, topology: topology).oversubscribed)
  }

  @Test(arguments: ["nodes=9", "nodes=0,9"]) func unknownNodesAreErrors(order: String) throws {
    let topology = try Topology.read("numa:2 core:2 pu:1")
    let order = try #require(PlacementOptions.Order(order))
    let error = #expect(throws: MachineError.self) {
      try PlacementPlan(PlacementOptions(order: order), topology: topology)
    }
    #expect(error?.code == .argument && error?.message.contains("choose among 0,1") == true)
  }

  @Test(arguments: ["", "fast", "nodes=", "nodes=a", "nodes=1,", "nodes=-1", "nodes=1,1"])
  func orderIsReadStrictly(text: String) { #expect(PlacementOptions.Order(text) == nil) }

  @Test func ordersReadBack() {
    for text in ["auto", "compact", "spread", "nodes=3,1"] {
      #expect(PlacementOptions.Order(text)?.description == text)
    }
  }

  @Test(arguments: [
    "", "nonsense", "core:0", "/nowhere/at/all.xml", "package:2 numa:x",
  ])
  func badTopologiesAreErrors(description: String) {
    #expect(throws: MachineError.self) { try Topology.read(description) }
  }

  /// Files that are cut short or lack what hwloc takes for granted.
  @Test func damagedExportsAreErrors() throws {
    let text = try String(contentsOfFile: fixture("hybrid"), encoding: .utf8)
    let path = temporaryPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let damages = [
      "", String(text.prefix(text.count / 2)), "<topology></topology>",
      text.replacingOccurrences(of: " complete_cpuset=", with: " c="),
      text.replacingOccurrences(of: " nodeset=\"0x00000001\"", with: ""),
    ]
    for damage in damages {
      try damage.write(toFile: path, atomically: true, encoding: .utf8)
      #expect(throws: MachineError.self, "\(damage.count) bytes") { try Topology.read(path) }
    }
  }

  @Test func theReportSaysWhatEachNodeOwns() throws {
    let topology = try Topology.read("package:2 numa:1 core:2 pu:1")
    let plan = try PlacementPlan(topology: topology)
    let report = PlacementReport(plan, model: .init(kvHeads: 8, columns: 1000))
    #expect(report.nodes.map(\.kvHeads) == [[0, 1, 2, 3], [4, 5, 6, 7]])
    #expect(report.nodes.map(\.columns) == [[0, 496], [496, 1000]])
    for part in [
      "worker 3: CPU 3", "columns: 50.0 to 100.0 %", "KV heads: 4 to 7", "memory: node 1",
    ] { #expect(report.description.contains(part), "no “\(part)” in:\n\(report)") }
  }

  // MARK: Memory

  @Test(arguments: [100, 512, 777]) func shardsAreBoundTileByTile(outputs: Int) throws {
    let depth = 4096
    let topology = try Topology.read("numa:3 core:1 pu:1")
    let plan = try PlacementPlan(topology: topology)
    let notes = BindingNotes()
    let placement = MemoryPlan(plan: plan, binder: notes.note).weights
    let weights = try Self.packed(placement, outputs: outputs, depth: depth)
    let tiles = (outputs + 15) / 16
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    #expect(notes.policies == (0..<3).map { .bound(node: $0) })
    #expect(notes.lengths.reduce(0, +) == weights.byteCount)
    var end = 0
    for index in 0..<3 {
      #expect(notes.offsets[index] == end && notes.offsets[index] % page == 0)
      end += notes.lengths[index]
      let boundary = plan.share(of: tiles, node: index).upperBound * (weights.byteCount / tiles)
      #expect(index == 2 || (boundary..<boundary + page).contains(end))
    }
  }

  @Test func largeSharesMeetAtHugePages() throws {
    let topology = try Topology.read("numa:2 core:1 pu:1")
    let notes = BindingNotes()
    let placement = MemoryPlan(plan: try PlacementPlan(topology: topology), binder: notes.note)
    let memory = try AlignedMemory(byteCount: 36_000_000)
    placement.weights?.place(memory, 1000, 0)
    #expect(notes.offsets[1] % AlignedMemory.hugePageBytes == 0)
    #expect(notes.lengths.reduce(0, +) == 36_000_000)
  }

  @Test func otherModes() throws {
    let topology = try Topology.read("numa:2 core:1 pu:1")
    func memoryPlan(_ mode: PlacementOptions.Memory, _ notes: BindingNotes) throws -> MemoryPlan {
      MemoryPlan(
        plan: try PlacementPlan(PlacementOptions(memory: mode), topology: topology),
        binder: notes.note)
    }
    let replicated = BindingNotes()
    let copies = try Self.packed(memoryPlan(.replicate, replicated).weights)
    #expect(copies.copies == 2)
    #expect(replicated.policies == [.bound(node: 0), .bound(node: 1)])
    #expect(replicated.lengths == [copies.byteCount, copies.byteCount])

    let interleaved = BindingNotes()
    let plan = try memoryPlan(.interleave, interleaved)
    let pages = try AlignedMemory(byteCount: 2 << 20)
    plan.pages?(pages)
    _ = try Self.packed(plan.weights)
    #expect(interleaved.policies == Array(repeating: .interleaved(nodes: [0, 1]), count: 2))

    let off = try memoryPlan(.off, BindingNotes())
    #expect(off.weights == nil && off.pages == nil)
    let oneNode = MemoryPlan(plan: try PlacementPlan(topology: .flat(cpus: [0, 1])))
    #expect(oneNode.weights == nil && oneNode.pages == nil)
  }

  @Test func everyCopyGivesTheSameBits() throws {
    let topology = try Topology.read("numa:2 core:1 pu:1")
    let plan = try PlacementPlan(PlacementOptions(memory: .replicate), topology: topology)
    let placement = MemoryPlan(plan: plan, binder: BindingNotes().note).weights
    let weights = try Self.packed(placement, outputs: 96, depth: 4096, team: SerialFor())
    let input = try FloatMatrix(rows: 1, columns: 4096)
    input.setRow(0, (0..<4096).map { Float($0 % 17) / 8 })
    let activations = try PreparedActivations(rows: 1, depth: 4096)
    activations.prepare(weights.activationType, from: input, rows: 1)
    let rows = try [0, 1].map { copy in
      let output = try FloatMatrix(rows: 1, columns: 96)
      Kernels.multiply(activations, weights: weights, into: output, copy: copy)
      return output.row(0)
    }
    #expect(rows[0] == rows[1] && rows[0].contains { $0 != 0 })
  }

  /// Weights that were packed before, as a cache has them, are copied to where the plan wants them.
  @Test(arguments: [PlacementOptions.Memory.shard, .replicate, .interleave])
  func packedWeightsAreCopiedToTheirPlaces(mode: PlacementOptions.Memory) throws {
    let topology = try Topology.read("numa:2 core:1 pu:1")
    let plan = try PlacementPlan(PlacementOptions(memory: mode), topology: topology)
    let (fresh, copied) = (BindingNotes(), BindingNotes())
    _ = try Self.packed(MemoryPlan(plan: plan, binder: fresh.note).weights, outputs: 777)
    let packed = try Self.packed(nil, outputs: 777)
    let placement = try #require(MemoryPlan(plan: plan, binder: copied.note).weights)
    let copy = try PackedWeights(
      copying: packed, placement: placement, team: try ThreadTeam(threads: 2))
    #expect(copy.copies == (mode == .replicate ? 2 : 1))
    #expect(copied.policies == fresh.policies && copied.lengths == fresh.lengths)
    #expect(copy.checksum() == packed.checksum())
    #expect(
      copy.withPackedBytes { Array($0) } == packed.withPackedBytes { Array($0) })
  }

  /// Asking the system for a node that is not there is a warning, and the memory works.
  @Test func refusedBindingIsNotFatal() throws {
    let memory = try AlignedMemory(byteCount: 4 << 20)
    memory.withBytes { MemoryPolicy.systemBinder()($0, .bound(node: 900)) }
    memory.withBytes { $0[$0.count - 1] = 7 }
    #expect(memory.withBytes { $0[$0.count - 1] } == 7)
  }

  static func packed(
    _ placement: WeightPlacement?, outputs: Int = 512, depth: Int = 4096,
    team: (any ParallelFor)? = nil
  ) throws -> PackedWeights {
    let values = (0..<outputs * depth).map { Float($0 % 251) - 125 }
    return try values.withUnsafeBytes {
      try PackedWeights(
        type: .f32, outputs: outputs, depth: depth, source: $0, team: team, placement: placement)
    }
  }

  private func fixture(_ name: String) -> String {
    Bundle.module.path(forResource: "Fixtures/\(name)", ofType: "xml") ?? "\(name) is missing"
  }

  private func temporaryPath() -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).xml").path
  }
}

struct HugePageTests {
  @Test func readsTheKernelsWords() {
    let pages = HugePages(
      setting: "always [madvise] never\n",
      rollup: "Rss: 9000 kB\nAnonymous:    8192 kB\nAnonHugePages:   6144 kB\n")
    #expect(pages.mode == "madvise")
    #expect(pages.anonymousBytes == 8 << 20 && pages.hugeBytes == 6 << 20)
    #expect(HugePages(setting: "][", rollup: "Anonymous: lots kB").anonymousBytes == 0)
  }

  @Test(arguments: [(2 << 20), (2 << 20) + 1, 5_000_000, 33 << 20])
  func largeBlocksBeginAtHugePages(bytes: Int) throws {
    let memory = try AlignedMemory(byteCount: bytes)
    #expect(Int(bitPattern: memory.base) % AlignedMemory.hugePageBytes == 0)
    memory.withBytes { block in
      block[0] = 1
      block[bytes - 1] = 2
      #expect(block[0] == 1 && block[bytes - 1] == 2)
    }
  }
}
