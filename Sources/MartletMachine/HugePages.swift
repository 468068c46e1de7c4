import Foundation
import MartletKernels

/// What the system grants of huge pages, which spare the CPU most of its address translation when
/// weights are read through.
public struct HugePages: Sendable, Equatable {
  /// What the kernel gives without being asked: `always`, `madvise` (to who asks, as this library
  /// does) or `never`; empty where it does not tell.
  public var mode: String
  /// Bytes of anonymous memory that this process has in use.
  public var anonymousBytes: Int
  /// Bytes of them that are in huge pages.
  public var hugeBytes: Int

  /// What this process has now, as `/proc/self/smaps_rollup` says; zeros where it is not readable.
  public static func current() -> HugePages {
    func text(_ path: String) -> String {
      FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
    return HugePages(
      setting: text("/sys/kernel/mm/transparent_hugepage/enabled"),
      rollup: text("/proc/self/smaps_rollup"))
  }

  /// What a fresh block of `bytes` is granted once written, in bytes.
  /// - Throws: `MachineError` `.memory` when there is not so much memory.
  public static func trial(bytes: Int = 16 << 20) throws(MachineError) -> Int {
    let before = current().hugeBytes
    let memory: AlignedMemory
    do {
      memory = try AlignedMemory(byteCount: bytes)
    } catch {
      throw MachineError(.memory, error.message)
    }
    return memory.withBytes { block in
      for offset in stride(from: 0, to: block.count, by: 4096) { block[offset] = 1 }
      return max(0, current().hugeBytes - before)
    }
  }

  /// From the kernel's setting (`always [madvise] never`) and the text of smaps.
  public init(setting: String, rollup: String) {
    mode = ""
    if let open = setting.firstIndex(of: "["), let close = setting.firstIndex(of: "]"), open < close
    {
      mode = String(setting[setting.index(after: open)..<close])
    }
    func kibibytes(_ key: String) -> Int {
      rollup.split(separator: "\n").filter { $0.hasPrefix(key + ":") }
        .compactMap { $0.split(separator: " ").dropFirst().first.flatMap { Int($0) } }
        .reduce(0, +)
    }
    anonymousBytes = kibibytes("Anonymous") << 10
    hugeBytes = kibibytes("AnonHugePages") << 10
  }
}
