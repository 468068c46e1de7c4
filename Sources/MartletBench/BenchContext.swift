import Foundation
import MartletKernels
import MartletMachine

/// Under what circumstances a benchmark ran.
public struct BenchContext: Encodable, Sendable {
  /// `machine`, `model`, …
  public var bench: String
  /// Of the program.
  public var version: String
  /// When it began, ISO 8601, UTC.
  public var date: String
  /// The processor's name.
  public var cpu: String
  /// Capabilities in use.
  public var isa: [String]
  /// Threads that computed.
  public var threads: Int
  /// Where they were and why.
  public var placement: String
  /// Runnable processes over the last minute when it began; above 0 others were at work.
  public var hostLoad: Double
  /// Measured in the same run; where probes were taken beside samples, their median.
  public var limits: MachineLimits?
  /// Those probes, one series for each number of threads.
  public var limitSamples: [LimitSeries]?
  /// How bytes, operations and the limit are counted.
  public var formula: String?
  /// What else was chosen.
  public var settings: [String: String]

  /// The circumstances of now.
  public init(bench: String, version: String, team: ThreadTeam, settings: [String: String] = [:]) {
    self.bench = bench
    self.version = version
    date = Date.now.formatted(.iso8601)
    cpu = (try? Topology.current())?.packages.first?.model ?? ""
    isa = ISA.active
    threads = team.width
    placement = team.plan.description
    var load = [0.0]
    hostLoad = getloadavg(&load, 1) == 1 ? (load[0] * 100).rounded() / 100 : 0
    self.settings = settings
  }
}
