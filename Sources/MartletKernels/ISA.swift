import CMartlet
import Foundation

/// What this CPU can do and what this process may use of it.
public enum ISA {
  /// Capabilities of the CPU and operating system (`avx2`, `avx512_vnni`, …), before `MARTLET_ISA`.
  public static var detected: [String] { names(of: martlet_isa_detected()) }

  /// Capabilities in use: the detected ones less what the environment's `MARTLET_ISA` removes.
  public static var active: [String] { names(of: martlet_isa_features()) }

  /// Throws `.argument` when `MARTLET_ISA` names no known level. Every kernel is then served by
  /// the reference, so a program should say so and stop.
  public static func validate() throws(KernelError) {
    guard martlet_isa_status() == MARTLET_OK else {
      let value = ProcessInfo.processInfo.environment["MARTLET_ISA"] ?? ""
      throw KernelError(
        .argument,
        "MARTLET_ISA is '\(value)', which names no level; use reference, avx2, avx512 or native, "
          + "or unset it")
    }
  }

  private static func names(of features: UInt32) -> [String] {
    (0..<32).compactMap { bit -> String? in
      let feature = UInt32(1) << UInt32(bit)
      guard features & feature != 0, let name = martlet_isa_feature_name(feature) else {
        return nil
      }
      return String(cString: name)
    }
  }
}

extension NumericClass {
  /// Throws `.unsupported` when this machine lacks what the class needs: ``openBLAS`` its library,
  /// which the first call loads, ``bf16AMX`` a CPU with AMX.
  public func validate() throws(KernelError) {
    if self == .bf16AMX, martlet_isa_features() & UInt32(MARTLET_ISA_AMX_BF16) == 0 {
      throw KernelError(
        .unsupported,
        "numeric class 'bf16-amx' needs AMX bf16, which this CPU, its operating system or "
          + "MARTLET_ISA does not offer; choose another class, such as 'bf16-dot'")
    }
    guard self == .openBLAS else { return }
    guard kernelVariants().contains(where: { $0.numericClass == self && $0.available }) else {
      throw KernelError(
        .unsupported,
        "numeric class 'openblas' needs libopenblas.so.0, which cannot be loaded; install OpenBLAS "
          + "(Debian: libopenblas0) or choose another class")
    }
  }
}

/// One implementation of one kernel operation, and whether dispatch chose it.
public struct KernelVariant: Sendable, Hashable {
  /// `gemm`, `norm`, …
  public let family: String
  /// `gemm_q4_0_q8`, `rms_norm_f32`, …
  public let operation: String
  /// `reference`, `avx2`, `avx512_vnni`, `openblas`, …
  public let isa: String
  /// Operation and ISA together.
  public let name: String
  /// The numeric class that it belongs to.
  public let numericClass: NumericClass
  /// Whether this process may run it.
  public let available: Bool
  /// Whether dispatch chose it for its operation and class.
  public let serving: Bool
  /// Why it serves or does not: `needs avx512_vnni`, `outranked by …`.
  public let reason: String
}

/// Every variant of every kernel family, in the order of the families' lists.
public func kernelVariants() -> [KernelVariant] {
  (0..<martlet_variant_count()).compactMap { index -> KernelVariant? in
    var entry = martlet_variant()
    entry.size = UInt32(MemoryLayout<martlet_variant>.size)
    guard martlet_variant_at(index, &entry) == MARTLET_OK,
      let numericClass = NumericClass(cValue: entry.numeric_class)
    else { return nil }
    return KernelVariant(
      family: String(cString: entry.family), operation: String(cString: entry.operation),
      isa: String(cString: entry.isa), name: String(cString: entry.name),
      numericClass: numericClass, available: entry.available != 0, serving: entry.serving != 0,
      reason: entry.reason.map { String(cString: $0) } ?? "")
  }
}
