import Foundation
import MartletModel
import Testing

/// Whatever the bytes are, opening and describing a file gives a result or a `ModelError`, soon and
/// within the memory the file itself would take.
@Suite struct HostileFileTests {
  /// A small deterministic generator (SplitMix64), so that a seed replays a case.
  struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  /// Values that break parsers more often than random ones.
  static let evil: [UInt64] = [
    0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 60,
    0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, .max, .max - 7, .max - 31,
  ]

  static func mutate(_ original: [UInt8], seed: UInt64) -> [UInt8] {
    var random = Generator(state: seed)
    var bytes = original
    // Directory bytes matter most: aim half of all changes at the first kilobyte.
    func place() -> Int {
      Int.random(in: 0..<(Bool.random(using: &random) ? 1_024 : bytes.count), using: &random)
    }
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes[place()] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[place()] = UInt8.random(in: 0...255, using: &random)
      case 2, 3:
        let at = place()
        let width = Bool.random(using: &random) ? 4 : 8
        let value = evil.randomElement(using: &random) ?? 0
        for index in 0..<width where at + index < bytes.count {
          bytes[at + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
        }
      case 4:
        let at = place()
        bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...16, using: &random)))
        bytes += [UInt8](repeating: 0, count: max(0, original.count - bytes.count))
      default:
        let count = Int.random(in: 0...bytes.count, using: &random)
        bytes = Array(bytes.prefix(count))
        bytes += [UInt8](repeating: 0, count: 1_024)
      }
    }
    return bytes
  }

  @Test(arguments: ["llama", "qwen2", "qwen3"])
  func mutationsNeverCrash(architecture: String) throws {
    let folder = try TemporaryFolder()
    let original = tinyModel(architecture).bytes
    let clock = ContinuousClock()
    var accepted = 0
    var refused = 0
    for seed in 0..<1_200 as Range<UInt64> {
      let path = try folder.write(Self.mutate(original, seed: seed))
      let time = clock.measure {
        do throws(ModelError) {
          let model = try TransformerModel.load(path: path)
          // Whatever was accepted can be used.
          for tensor in model.layers { _ = tensor.packedByteCount }
          _ = try Tokenizer(metadata: model.metadata).encode(
            "ab c", addSpecial: true, parseSpecial: true)
          accepted += 1
        } catch {
          refused += 1
          #expect(!error.message.isEmpty)
        }
        // Describing it needs fewer things to be right.
        do throws(ModelError) {
          _ = try ModelInfo(path: path).description
        } catch {
          #expect(!error.message.isEmpty)
        }
      }
      // Not a timing test: a file of a few kilobytes that takes seconds is a hang.
      #expect(time < .seconds(10), "seed \(seed) took \(time)")
    }
    // Both kinds must occur, or the mutations test nothing.
    #expect(accepted > 20, "\(accepted) accepted")
    #expect(refused > 200, "\(refused) refused")
  }

  @Test func claimsDoNotAllocate() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    // Four billion strings claimed in a file of kilobytes.
    file.add(
      "claims", type: 9, GGUFBytes.little(UInt32(8)) + GGUFBytes.little(UInt64(1) << 32))
    let before = try peakVirtualMemory()
    let path = try folder.write(file.bytes)
    #expect(modelError { _ = try GGUFFile(path: path) }?.code == .truncated)
    // Reserving for the claim would take 64 GB of addresses.
    #expect(try peakVirtualMemory() - before < 16 << 30)
  }

  /// The most bytes of address space this process has ever had.
  private func peakVirtualMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmPeak:") })
    return try #require(Int(line.filter(\.isNumber))) * 1_024
  }
}
