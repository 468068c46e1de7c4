import CMartlet

/// Loops that reach what this machine can do at most, to be timed by the caller on as many threads
/// as it wants to know about.
public enum MachineProbe {
  /// The arithmetic that products use.
  public enum Unit: String, CaseIterable, Codable, Sendable {
    /// float32 fused multiply-add.
    case float32 = "fma-f32"
    /// bf16 products added up in float32.
    case bfloat16 = "dot-bf16"
    /// int8 products added up in int32.
    case int8 = "dot-int8"

    fileprivate var cValue: martlet_probe_unit {
      switch self {
      case .float32: MARTLET_PROBE_FMA_F32
      case .bfloat16: MARTLET_PROBE_DOT_BF16
      case .int8: MARTLET_PROBE_DOT_INT8
      }
    }

    /// The widest loop for it that this process may run: `vpdpbusd zmm`, `plain c`.
    public var loop: String {
      martlet_probe_arithmetic_name(cValue).map { String(cString: $0) } ?? ""
    }
  }

  /// Runs the loop of `unit` on registers alone, `steps` times, on the calling thread.
  /// - Returns: the operations done, a multiply and an add counting two.
  public static func arithmetic(_ unit: Unit, steps: Int) -> Double {
    martlet_probe_arithmetic(unit.cValue, UInt64(max(0, steps)))
  }

  /// The loop shapes for reading, by name; which is fastest differs from CPU to CPU.
  public static var readShapes: [String] {
    (0..<martlet_probe_read_count()).map {
      martlet_probe_read_name($0).map { String(cString: $0) } ?? ""
    }
  }

  /// Reads bytes `range` of `memory` once on the calling thread, with the loop `shape` of
  /// `readShapes`. Both ends of the range are multiples of 4096.
  public static func read(_ memory: AlignedMemory, _ range: Range<Int>, shape: Int) {
    precondition(range.lowerBound >= 0 && range.upperBound <= memory.byteCount, "bytes \(range)")
    precondition(range.lowerBound % 4096 == 0, "bytes \(range) do not start at a page")
    martlet_probe_read(shape, memory.base + range.lowerBound, range.count)
      .expectSuccess("martlet_probe_read")
  }
}
