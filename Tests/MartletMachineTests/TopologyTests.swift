import Foundation
import MartletKernels
import MartletMachine
import Testing

struct TopologyTests {
  @Test func thisMachineIsConsistent() throws {
    let topology = try Topology.current()
    #expect(!topology.units.isEmpty)
    #expect(Set(topology.units.map(\.cpu)) == (try Affinity.current()))
    #expect(topology.units.count == topology.cores.map(\.cpus.count).reduce(0, +))
    for unit in topology.units { #expect(topology.cores[unit.core].cpus.contains(unit.cpu)) }
    for core in topology.cores { #expect(topology.packages.indices.contains(core.package)) }
    #expect((1...topology.units.count).contains(topology.usableCPUs))
    #expect(topology.description.contains("usable: CPU"))
  }

  @Test func jsonReadsBack() throws {
    let topology = try Topology.current()
    let back = try JSONDecoder().decode(Topology.self, from: Data(topology.json().utf8))
    #expect(back == topology)
  }

  /// A process bound to one CPU sees a machine of one CPU.
  @Test func oneCPUOnly() throws {
    let whole = try Affinity.current()
    let one = try #require(whole.min())
    // On a thread of its own: the binding goes with it.
    let result = Outcome()
    let thread = Thread {
      do {
        try Affinity.set([one])
        let topology = try Topology.current()
        let team = try ThreadTeam(plan: PlacementPlan(topology: topology))
        let counts = Counters(team.width)
        team.run { counts.add(1, to: $0) }
        result.finish(
          topology.units.map(\.cpu) == [one] && topology.usableCPUs == 1 && counts.values == [1])
      } catch {
        result.finish(false)
      }
    }
    thread.start()
    #expect(result.wait())
  }

  @Test func describesWhatMatters() {
    var topology = Self.twoNodes()
    topology.cpuQuota = 2.5
    topology.memoryLimitBytes = 3 << 30
    topology.machineCPUs = 16
    let text = topology.description
    for part in [
      "package 0: Imagined (2 cores, 4 hardware threads)", "NUMA node 1, 8 GiB of memory",
      "L2: 2 × 1 MiB", "usable: CPUs 0-7 of the machine's 16", "2.50 CPUs, so 2 threads at once",
      "memory limit of the control group: 3 GiB",
    ] { #expect(text.contains(part), "no “\(part)” in:\n\(text)") }
  }

  @Test func quotaLimitsUsableCPUs() {
    var topology = Topology.flat(cpus: [0, 1, 2, 3])
    for (quota, usable) in [(0.5, 1), (1, 1), (1.5, 1), (2, 2), (3.9, 3), (64, 4)] {
      topology.cpuQuota = quota
      #expect(topology.usableCPUs == usable, "quota \(quota)")
    }
  }

  /// Two packages of two cores with two threads each, a node each.
  static func twoNodes() -> Topology {
    Topology(
      source: "hwloc",
      packages: [Topology.Package(model: "Imagined"), Topology.Package(model: "Imagined")],
      numaNodes: [
        Topology.NUMANode(id: 0, memoryBytes: 8 << 30, cpus: [0, 1, 4, 5]),
        Topology.NUMANode(id: 1, memoryBytes: 8 << 30, cpus: [2, 3, 6, 7]),
      ],
      caches: (0..<4).map {
        Topology.Cache(level: 2, kind: .unified, bytes: 1 << 20, lineBytes: 64, cpus: [$0, $0 + 4])
      },
      cores: (0..<4).map { Topology.Core(cpus: [$0, $0 + 4], package: $0 / 2, numaNode: $0 / 2) },
      units: (0..<8).map { Topology.Unit(cpu: $0, core: $0 % 4) }, machineCPUs: 8)
  }
}

struct PlacementPlanTests {
  @Test func coresBeforeHardwareThreads() throws {
    let topology = TopologyTests.twoNodes()
    let plan = try PlacementPlan(threads: 8, topology: topology)
    #expect(plan.workers.map(\.cpu) == [0, 1, 4, 5, 2, 3, 6, 7])
    #expect(!plan.oversubscribed)
    #expect(plan.reasons.joined().contains("share cores by hardware thread"))
  }

  @Test func oneNodeIsFilledFirst() throws {
    let plan = try PlacementPlan(threads: 2, topology: TopologyTests.twoNodes())
    #expect(Set(plan.workers.map(\.numaNode)) == [0])
  }

  @Test func defaultIsOnePerCoreWithinTheQuota() throws {
    var topology = TopologyTests.twoNodes()
    #expect(try PlacementPlan(topology: topology).workers.count == 4)
    topology.cpuQuota = 3
    let plan = try PlacementPlan(topology: topology)
    #expect(plan.workers.count == 3)
    #expect(plan.reasons.joined().contains("quota"))
  }

  @Test func workersBeyondTheCPUsAreUnpinned() throws {
    let plan = try PlacementPlan(threads: 3, topology: .flat(cpus: [5]))
    #expect(plan.workers.map(\.cpu) == [5, nil, nil])
    #expect(plan.oversubscribed)
  }

  @Test(arguments: [0, -1, 5000]) func badCountsAreErrors(threads: Int) {
    #expect(throws: MachineError.self) {
      try PlacementPlan(threads: threads, topology: .flat(cpus: [0]))
    }
  }
}

struct ControlGroupLimitsTests {
  @Test func versionTwoTakesTheSmallestOnTheWayUp() {
    let limits = ControlGroupLimits(files: [
      "/proc/self/cgroup": "0::/a/b\n",
      "/proc/self/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
      "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
      "/sys/fs/cgroup/a/b/memory.max": "1073741824\n",
      "/sys/fs/cgroup/a/memory.max": "max\n",
    ])
    #expect(limits.cpuQuota == 1.5)
    #expect(limits.memoryBytes == 1 << 30)
  }

  @Test func versionOne() {
    let limits = ControlGroupLimits(files: [
      "/proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/y\n0::/\n",
      "/proc/self/mounts": """
      cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
      """,
      "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
      "/sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    ])
    #expect(limits.cpuQuota == 4)
    #expect(limits.memoryBytes == 2 << 30)
  }

  @Test(arguments: ["", "0::", "garbage\n:::\n0::/../..\n"])
  func nonsenseMeansNoLimit(groups: String) {
    let limits = ControlGroupLimits(files: [
      "/proc/self/cgroup": groups, "/proc/self/mounts": "cgroup2 /c cgroup2 rw 0 0",
      "/c/cpu.max": "many few",
    ])
    #expect(limits.cpuQuota == nil && limits.memoryBytes == nil)
  }
}

extension ControlGroupLimits {
  fileprivate init(files: [String: String]) { self.init(read: { files[$0] }) }
}

/// A result handed from a thread to the test that waits for it.
final class Outcome: @unchecked Sendable {
  // Written once before the signal and read after the wait.
  private let done = DispatchSemaphore(value: 0)
  private var passed = false

  func finish(_ passed: Bool) {
    self.passed = passed
    done.signal()
  }

  func wait() -> Bool {
    done.wait()
    return passed
  }
}
