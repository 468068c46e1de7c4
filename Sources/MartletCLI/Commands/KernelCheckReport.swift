import CKernelsCheck
import CMartlet
import Foundation

/// What the kernel checks found, one row per variant.
struct KernelCheckReport: Encodable {
  /// One variant of an operation.
  struct Variant: Encodable {
    var name: String
    var serving: Bool
    var runs: UInt64 = 0
    var outcome = "passed"
    /// Why it was skipped, or what failed first.
    var message = ""
    var shape = ""
    var nanoseconds = 0.0
    var speedup = 0.0
    var gigabytesPerSecond = 0.0
    var gigaflops = 0.0
    var fractionOfLimit = 0.0
  }

  private(set) var variants: [Variant] = []
  private(set) var failures: [String] = []

  var passed: Int { variants.count { $0.outcome == "passed" } }
  var failed: Int { variants.count { $0.outcome == "failed" } }
  var skipped: Int { variants.count { $0.outcome == "skipped" } }

  /// Runs the checks on this thread.
  /// - Throws: `CommandError` `.usage` when the filter matches nothing.
  static func run(
    filter: String?, seed: UInt64, timings: Bool, progress: (Double, String) -> Void
  ) throws(CommandError) -> KernelCheckReport {
    let expected = (0..<martlet_variant_count()).count
    var options = martlet_check_options()
    options.size = UInt32(MemoryLayout<martlet_check_options>.size)
    options.seed = seed
    if !timings { options.flags = MARTLET_CHECK_SKIP_TIMINGS.rawValue }

    // The callback is a C function: report and progress travel through its context pointer, which
    // is valid because martlet_check_run returns before `withoutActuallyEscaping` ends.
    let status = withoutActuallyEscaping(progress) { progress in
      let collector = Collector(expected: expected, progress: progress)
      let status = (filter ?? "").withCString { filter in
        options.filter = filter
        return martlet_check_run(
          &options,
          { context, result in
            guard let context, let result else { return }
            Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue().add(result.pointee)
          }, Unmanaged.passUnretained(collector).toOpaque(), nil)
      }
      return (status, collector.report)
    }
    switch status.0 {
    case MARTLET_OK: return status.1
    case MARTLET_E_NOT_FOUND:
      throw CommandError(
        .usage, "no kernel matches '\(filter ?? "")'; `martlet kernels --all` lists them")
    default:
      throw CommandError(
        .software, "the checks could not run: \(String(cString: martlet_status_name(status.0)))")
    }
  }

  fileprivate mutating func add(_ result: martlet_check_result) {
    let name = String(cString: result.variant)
    if variants.last?.name != name {
      variants.append(Variant(name: name, serving: result.serving == 1))
    }
    var variant = variants.removeLast()
    variant.runs += result.runs
    if result.outcome == MARTLET_CHECK_FAILED.rawValue {
      variant.outcome = "failed"
      variant.message = String(cString: result.message)
      failures.append(
        "\(name), \(String(cString: result.check_case)): \(variant.message); replay with "
          + "martlet check kernels --filter \(name) --seed \(result.seed)")
    } else if result.outcome == MARTLET_CHECK_SKIPPED.rawValue {
      variant.outcome = "skipped"
      variant.message = String(cString: result.message)
    }
    if result.nanoseconds > 0 {
      variant.shape = String(cString: result.timing_case)
      variant.nanoseconds = result.nanoseconds
      variant.speedup = result.speedup
      variant.gigabytesPerSecond = result.gigabytes_per_second
      variant.gigaflops = result.gigaflops
      variant.fractionOfLimit = result.fraction_of_limit
    }
    variants.append(variant)
  }

  /// The report as a table.
  var table: String {
    var table = Table([
      "variant", "serves", "runs", "result", "shape", "µs", "× reference", "of peak",
    ])
    for variant in variants {
      let timed = variant.nanoseconds > 0
      table.append([
        variant.name, variant.serving ? "yes" : "", "\(variant.runs)",
        variant.outcome == "skipped" ? "skipped: \(variant.message)" : variant.outcome,
        variant.shape, timed ? String(format: "%.2f", variant.nanoseconds / 1000) : "",
        timed ? String(format: "%.2f", variant.speedup) : "",
        variant.fractionOfLimit > 0 ? String(format: "%.0f %%", variant.fractionOfLimit * 100) : "",
      ])
    }
    return table.render()
  }
}

/// Gathers results as they come.
private final class Collector {
  private(set) var report = KernelCheckReport()
  private let expected: Int
  private let progress: (Double, String) -> Void

  init(expected: Int, progress: @escaping (Double, String) -> Void) {
    self.expected = expected
    self.progress = progress
  }

  func add(_ result: martlet_check_result) {
    report.add(result)
    progress(Double(report.variants.count) / Double(expected), String(cString: result.variant))
  }
}
