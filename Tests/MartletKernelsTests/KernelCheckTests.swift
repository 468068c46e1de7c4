import CKernelsCheck
import Testing

/// One line of a check run, copied out of the C callback.
private struct CheckResult: Sendable {
  var variant: String
  var isa: String
  var checkCase: String
  var outcome: Int32
  var runs: UInt64
  var speedup: Double
  var serving: Bool
  var message: String
}

private struct CheckReport: Sendable {
  var status: martlet_status
  var summary: martlet_check_summary
  var results: [CheckResult]

  /// What failed, one line per case, with the command that replays it.
  func failures(seed: UInt64) -> String {
    results.filter { $0.outcome == MARTLET_CHECK_FAILED.rawValue }
      .map {
        "\($0.variant), \($0.checkCase): \($0.message) "
          + "(martlet check kernels --filter \($0.variant) --seed \(seed))"
      }
      .joined(separator: "\n")
  }
}

private func runChecks(
  filter: String = "", seed: UInt64, flags: [martlet_check_flags]
) -> CheckReport {
  var options = martlet_check_options()
  options.size = UInt32(MemoryLayout<martlet_check_options>.size)
  options.seed = seed
  options.flags = flags.reduce(0) { $0 | UInt32($1.rawValue) }
  options.timing_seconds = 0.002
  var summary = martlet_check_summary()
  summary.size = UInt32(MemoryLayout<martlet_check_summary>.size)
  var results: [CheckResult] = []
  let status = filter.withCString { text in
    options.filter = text
    // The callback runs on this thread, during the call, while `results` is borrowed by nobody else.
    return withUnsafeMutablePointer(to: &results) { results in
      martlet_check_run(
        &options,
        { context, result in
          guard let context, let result = result?.pointee else { return }
          context.assumingMemoryBound(to: [CheckResult].self).pointee.append(
            CheckResult(
              variant: String(cString: result.variant), isa: String(cString: result.isa),
              checkCase: String(cString: result.check_case), outcome: result.outcome,
              runs: result.runs, speedup: result.speedup, serving: result.serving != 0,
              message: String(cString: result.message)))
        }, results, &summary)
    }
  }
  return CheckReport(status: status, summary: summary, results: results)
}

/// Serialised because runs of the harness wait for each other anyway.
@Suite(.serialized) struct KernelCheckTests {
  static let seed: UInt64 = 20_260_101

  @Test func everyVariantMeetsTheReference() {
    let report = runChecks(seed: Self.seed, flags: [MARTLET_CHECK_SKIP_TIMINGS])
    #expect(report.status == MARTLET_OK)
    #expect(report.summary.failed == 0, "\(report.failures(seed: Self.seed))")
    #expect(report.summary.variants > 60)
    #expect(report.summary.runs > 10_000)
  }

  @Test func variantsThatAreWrongOnPurposeFail() {
    let report = runChecks(
      filter: "broken_", seed: Self.seed,
      flags: [MARTLET_CHECK_SKIP_TIMINGS, MARTLET_CHECK_INCLUDE_BROKEN])
    #expect(report.status == MARTLET_OK)
    #expect(report.summary.variants == 10)
    #expect(report.summary.failed == report.summary.variants)
    for (variant, words) in [
      ("add_f32_broken_one_ulp_off", "element 30"),
      ("add_f32_broken_reads_past_the_end", "past the end of 'addend'"),
      ("add_f32_broken_reads_before_the_start", "before 'addend'"),
      ("add_f32_broken_writes_to_its_input", "wrote to input 'addend'"),
      ("rms_norm_f32_broken_writes_between_rows", "between row"),
      ("unchecked_f32_broken_has_no_check", "has no check"),
    ] {
      #expect(
        report.results.contains { $0.variant == variant && $0.message.contains(words) },
        "\(variant) should fail with: \(words)")
    }
  }

  @Test func sameSeedGivesTheSameFailures() {
    let flags = [MARTLET_CHECK_SKIP_TIMINGS, MARTLET_CHECK_INCLUDE_BROKEN]
    let first = runChecks(filter: "broken_another_order", seed: 7, flags: flags)
    let again = runChecks(filter: "broken_another_order", seed: 7, flags: flags)
    let other = runChecks(filter: "broken_another_order", seed: 8, flags: flags)
    #expect(first.results.map(\.message) == again.results.map(\.message))
    #expect(first.results.map(\.message) != other.results.map(\.message))
  }

  @Test func timingsCompareWithTheReference() {
    let report = runChecks(
      filter: "rms_norm_f32", seed: Self.seed, flags: [MARTLET_CHECK_ONLY_TIMINGS])
    #expect(report.status == MARTLET_OK)
    #expect(report.results.count == Int(report.summary.variants - report.summary.skipped))
    #expect(report.results.allSatisfy { $0.speedup > 0 && $0.checkCase == "timing" })
    #expect(report.results.filter(\.serving).count == 1)
  }

  @Test func badArgumentsAreRefused() {
    var options = martlet_check_options()
    #expect(martlet_check_run(&options, { _, _ in }, nil, nil) == MARTLET_E_ARGUMENT)
    let report = runChecks(filter: "no-such-kernel", seed: 1, flags: [])
    #expect(report.status == MARTLET_E_NOT_FOUND)
  }
}
