import Foundation
import MartletMachine
import Testing

import MartletBench

/// Samples meet the limits of their own time: drift and bursts of the host leave fractions alone,
/// and a disturbed probe flatters nothing.
@Suite struct LimitedSamplesTests {
  private func limits(_ readGbPerS: Double) -> MachineLimits {
    MachineLimits(
      threads: 1, readGbPerS: readGbPerS, fmaF32Gops: 100, dotBf16Gops: 100, dotInt8Gops: 100)
  }

  /// One gigabyte and no arithmetic.
  private var gigabyte: Work {
    var work = Work()
    work.bytes = 1e9
    return work
  }

  /// A track over a host that reads with these rates, probe by probe.
  private final class Host {
    var rates: [Double]
    var taken = 0
    init(_ rates: [Double]) { self.rates = rates }
    func next() -> Double {
      defer { taken += 1 }
      return rates[taken]
    }
  }

  private func track(_ host: Host) -> LimitTrack {
    LimitTrack { [limits] in limits(host.next()) }
  }

  @Test func driftDoesNotMoveTheFraction() {
    var samples = LimitedSamples()
    // The host halves its bandwidth, and steps that read at 80 % of it take twice as long.
    for _ in 0..<4 { samples.append(1e9 / 80 / 0.8, beside: limits(80)) }
    for _ in 0..<4 { samples.append(1e9 / 40 / 0.8, beside: limits(40)) }
    #expect(abs(samples.fraction(gigabyte) - 0.8) < 1e-12)
  }

  @Test func aBurstInOneProbeCostsOneSample() {
    var samples = LimitedSamples()
    for rate in [50.0, 50, 500, 50, 50] { samples.append(1e9 / 50, beside: limits(rate)) }
    #expect(abs(samples.fraction(gigabyte) - 1) < 1e-12)
    #expect((samples.fractions(gigabyte).min() ?? 1) < 0.2)
  }

  /// Medians of limits and times apart would be 60 / 60.
  @Test func fractionsPairEachSampleWithItsLimits() {
    var samples = LimitedSamples()
    for (rate, time) in [(40.0, 1e9 / 60), (60, 1e9 / 80), (80, 1e9 / 40)] {
      samples.append(time, beside: limits(rate))
    }
    #expect(abs(samples.fraction(gigabyte) - 80.0 / 60) < 1e-12)
  }

  @Test func probesGoAroundEverySample() {
    let host = Host([1, 2, 3, 4, 5, 6])
    var track = track(host)
    var taken: [Int] = []
    for _ in 0..<3 { _ = track.beside { taken.append(host.taken) } }
    #expect(taken == [1, 2, 3], "a sample lies between two probes and shares them")
    #expect(track.probes.map(\.readGbPerS) == [1, 2, 3, 4])
    track.interrupt()
    _ = track.beside { taken.append(host.taken) }
    #expect(taken.last == 5, "after something else a probe comes first again")
  }

  @Test func aDisturbedProbeDoesNotFlatter() {
    var track = track(Host([50, 20, 50]))
    let before = track.beside {}.1
    let after = track.beside {}.1
    #expect(before.readGbPerS == 50 && after.readGbPerS == 50)
  }

  @Test func aSampleThatFailsLeavesNoProbeForTheNext() {
    struct Failure: Error {}
    let host = Host([1, 2, 3])
    var track = track(host)
    _ = try? track.beside { throw Failure() }
    _ = track.beside {}
    #expect(host.taken == 3)
  }

  @Test func rowsKeepTheLimitsTheyWereComparedWith() throws {
    var settings = GemmBench.Settings()
    settings.types = [.q8_0]
    settings.rows = [2]
    settings.shapes = [(outputs: 64, depth: 256)]
    settings.threads = [1, 2]
    settings.repetitions = 3
    let report = try GemmBench.run(settings)
    for row in report.rows {
      #expect(row.limitSamplesNs.count == 3 && row.limitSamplesNs.allSatisfy { $0 > 0 })
      let fractions = zip(row.limitSamplesNs, row.samplesNs).map { $0 / $1 }.sorted()
      #expect(abs(row.fractionOfLimit - fractions[1]) < 0.02 * fractions[1])
    }
    let series = try #require(report.context.limitSamples)
    #expect(series.map(\.threads) == [1, 2])
    for probes in series { #expect(probes.readGbPerS.count == 4, "one before, one after each") }
    #expect(
      report.context.limits?.dotInt8Gops == series[1].dotInt8Gops.sorted()[1...2].reduce(0, +) / 2)

    let object = try #require(
      JSONSerialization.jsonObject(with: Data(report.json().utf8)) as? [String: Any])
    let row = try #require((object["rows"] as? [[String: Any]])?.first)
    for key in [
      "type", "rows", "variant", "threads", "median_ns", "min_ns", "samples_ns", "limit_ns",
      "limit_samples_ns", "fraction_of_limit", "bytes", "operations", "command",
    ] { #expect(row[key] != nil, "a row has no \(key)") }
  }
}

@Suite struct MachineMeterTests {
  @Test(arguments: [(1 << 20, 100_000), (1 << 20, 1 << 22), (4096, 1), (10_000, 5_000)])
  func windowsAreApart(part: Int, wanted: Int) {
    var windows = ReadWindows(part: part, wanted: wanted)
    let first = (0..<windows.count).map { _ in windows.next() }
    #expect(windows.next() == first[0])
    #expect(Set(first.map(\.lowerBound)).count == windows.count)
    for window in first {
      #expect(window.lowerBound % 4096 == 0 && window.count % 4096 == 0 && !window.isEmpty)
      #expect(window.upperBound <= max(part, 4096))
    }
    #expect(windows.length >= min(wanted, part / 4096 * 4096))
    #expect(windows.length * (windows.count + 1) > part / 4096 * 4096, "little is left out")
  }

  @Test func probesMeasureWhatLongMeasurementsDo() throws {
    let meter = try MachineMeter(team: ThreadTeam(threads: 2), bytes: 64 << 20)
    let (long, short) = (meter.measure(rounds: 1), meter.probe())
    #expect(short.threads == 2 && !short.readLoop.isEmpty && short.loops == long.loops)
    // Other processes may be at work: only what counts bytes or operations wrongly is this far off.
    for (one, other) in [
      (short.readGbPerS, long.readGbPerS), (short.fmaF32Gops, long.fmaF32Gops),
      (short.dotBf16Gops, long.dotBf16Gops), (short.dotInt8Gops, long.dotInt8Gops),
    ] { #expect((0.05...20).contains(one / other), "\(one) against \(other)") }
  }
}
