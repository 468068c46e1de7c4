import Foundation
import MartletKernels
import MartletMachine
import Synchronization
import Testing

@Suite(.serialized) struct ThreadTeamTests {
  /// A team of `count` workers, more than there are CPUs if need be.
  static func team(_ count: Int) throws -> ThreadTeam {
    try ThreadTeam(plan: PlacementPlan(threads: count, topology: topology.get()))
  }
  /// Read once: it takes longer than most of these tests.
  private static let topology = Result { try Topology.current() }

  @Test(arguments: [1, 2, 3, 8]) func everyPartRunsOnce(width: Int) throws {
    let team = try Self.team(width)
    #expect(team.width == width)
    for round in 0..<200 {
      let counts = Counters(width)
      team.run { counts.add(1, to: $0) }
      #expect(counts.values == Array(repeating: 1, count: width), "round \(round)")
    }
  }

  @Test(arguments: [(0, 1), (1, 1), (7, 16), (1000, 1), (1001, 16), (64, 64)])
  func chunksCoverTheLoopOnce(count: Int, grain: Int) throws {
    let team = try Self.team(3)
    let counts = Counters(max(1, count))
    team.forEachChunk(count: count, grain: grain) { range in
      #expect(range.lowerBound % grain == 0)
      for index in range { counts.add(1, to: index) }
    }
    #expect(counts.values.prefix(count).allSatisfy { $0 == 1 })
    #expect(counts.values.reduce(0, +) == count)
  }

  /// Nodes with unequal loops: every unit once, and without stealing by its owner's workers alone.
  @Test(arguments: [true, false], [1, 3]) func ownedChunksCoverEveryNodesLoopOnce(
    stealing: Bool, grain: Int
  ) throws {
    let topology = try Topology.read("numa:3 core:2 pu:1")
    let team = try ThreadTeam(plan: PlacementPlan(threads: 5, topology: topology))
    #expect(team.plan.nodes.count == 3)
    let lengths = [40, 0, 7]
    let strangers = Counters(1)
    for _ in 0..<50 {
      let counts = Counters(120)
      team.forEachOwnedChunk(grain: grain, stealing: stealing, count: { lengths[$0] }) {
        owner, range, reader in
        for unit in range { counts.add(1, to: 40 * owner + unit) }
        if owner != reader { strangers.add(1, to: 0) }
      }
      let expected = (0..<120).map { $0 % 40 < lengths[$0 / 40] ? 1 : 0 }
      #expect(counts.values == expected)
    }
    if !stealing { #expect(strangers.values == [0]) }
  }

  /// Each job reads what the one before wrote: a lost or early barrier changes the sum.
  @Test func hundredsOfThousandsOfBarriersLoseNothing() throws {
    let team = try Self.team(2)
    let rounds = 300_000
    let cells = Counters(2)
    for _ in 0..<rounds { team.run { cells.add(1, to: $0) } }
    #expect(cells.values == [rounds, rounds])
  }

  @Test func writesBeforeAJobAreSeenInsideAndWritesInsideAreSeenAfter() throws {
    let team = try Self.team(2)
    let matrix = try FloatMatrix(rows: 2, columns: 1)
    for round in 0..<20_000 {
      matrix[0, 0] = Float(round)
      matrix[1, 0] = Float(round)
      team.run { matrix[$0, 0] += 1 }
      #expect(matrix[0, 0] == Float(round + 1) && matrix[1, 0] == Float(round + 1))
    }
  }

  @Test func callersFromSeveralThreadsTakeTurns() async throws {
    let team = try Self.team(2)
    let inside = Occupancy()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<500 {
            team.forEachChunk(count: 2) { _ in inside.enterAndLeave(limit: 2) }
          }
        }
      }
    }
    #expect(inside.total == 4 * 500 * 2)
    #expect(!inside.exceeded)
  }

  @Test func aNestedCallRunsInline() throws {
    let team = try Self.team(2)
    let counts = Counters(2)
    team.run { _ in team.run { counts.add(1, to: $0) } }
    #expect(counts.values == [2, 2])
  }

  @Test func workersThatParkedComeBack() throws {
    let team = try Self.team(2)
    let counts = Counters(2)
    for _ in 0..<5 {
      usleep(2_000)
      team.run { counts.add(1, to: $0) }
    }
    #expect(counts.values == [5, 5])
  }

  /// Other threads take every CPU. The team must neither hang nor spin itself to a standstill: a
  /// bound so wide that only a collapse breaks it.
  @Test func busyNeighboursDoNotStopTheTeam() throws {
    let team = try Self.team(2)
    let rounds = 2_000
    let alone = Self.seconds { for _ in 0..<rounds { Self.smallJob(team) } }

    let stop = StopFlag()
    let cpus = try Topology.current().usableCPUs
    let neighbours = (0..<cpus).map { _ in
      let thread = Thread { while !stop.isSet {} }
      thread.start()
      return thread
    }
    let crowded = Self.seconds { for _ in 0..<rounds { Self.smallJob(team) } }
    stop.set()
    #expect(neighbours.count == cpus)
    #expect(crowded < max(10, alone * 200), "\(alone) s alone, \(crowded) s crowded")
  }

  @Test func moreWorkersThanCPUsNeverSpin() throws {
    let topology = try Topology.current()
    let plan = try PlacementPlan(threads: topology.usableCPUs * 4, topology: topology)
    #expect(plan.oversubscribed)
    let team = try ThreadTeam(plan: plan)
    let counts = Counters(team.width)
    for _ in 0..<2_000 { team.run { counts.add(1, to: $0) } }
    #expect(counts.values == Array(repeating: 2_000, count: team.width))
  }

  @Test func manyTeamsComeAndGo() throws {
    for _ in 0..<100 {
      let team = try Self.team(3)
      let counts = Counters(3)
      team.run { counts.add(1, to: $0) }
      #expect(counts.values == [1, 1, 1])
    }
  }

  @Test func aRefusedPinIsNotFatal() throws {
    // No machine has this CPU, so the pin is refused; the work is done all the same.
    var topology = Topology.flat(cpus: [0, 900])
    topology.machineCPUs = 2
    let team = try ThreadTeam(plan: PlacementPlan(threads: 2, topology: topology))
    let counts = Counters(2)
    team.run { counts.add(1, to: $0) }
    #expect(counts.values == [1, 1])
  }

  static func smallJob(_ team: ThreadTeam) {
    team.forEachChunk(count: 64, grain: 4) { range in
      var x = 1.0
      for index in range { for step in 0..<50 { x = x * 1.0000001 + Double(index + step) } }
      if x < 0 { print(x) }
    }
  }

  static func seconds(_ body: () -> Void) -> Double {
    let begin = monotonicNanoseconds()
    body()
    return Double(monotonicNanoseconds() - begin) / 1e9
  }
}

/// Counters that any thread may raise.
final class Counters: Sendable {
  private let cells: Mutex<[Int]>
  init(_ count: Int) { cells = Mutex(Array(repeating: 0, count: count)) }
  func add(_ amount: Int, to index: Int) { cells.withLock { $0[index] += amount } }
  var values: [Int] { cells.withLock { $0 } }
}

/// Counts how many threads are inside something at once.
final class Occupancy: Sendable {
  private let state = Mutex((inside: 0, total: 0, exceeded: false))

  func enterAndLeave(limit: Int) {
    state.withLock {
      $0.inside += 1
      $0.total += 1
      if $0.inside > limit { $0.exceeded = true }
    }
    state.withLock { $0.inside -= 1 }
  }

  var total: Int { state.withLock { $0.total } }
  var exceeded: Bool { state.withLock { $0.exceeded } }
}

final class StopFlag: Sendable {
  private let flag = Atomic<Bool>(false)
  var isSet: Bool { flag.load(ordering: .relaxed) }
  func set() { flag.store(true, ordering: .relaxed) }
}
