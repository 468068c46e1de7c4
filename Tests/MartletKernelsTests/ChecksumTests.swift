import MartletKernels
import Testing

@Suite struct ChecksumTests {
  /// Vectors of the xxHash specification's reference implementation.
  @Test(arguments: [
    ("", 0xef46_db37_51d8_e999 as UInt64), ("a", 0xd24e_c4f1_a98c_6e5b),
    ("abc", 0x44bc_2cf5_ad77_0999),
    ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
  ])
  func agreesWithTheSpecification(text: String, sum: UInt64) {
    #expect(Array(text.utf8).withUnsafeBytes { Checksum.xxh64($0) } == sum)
  }

  @Test func everyByteCounts() {
    var bytes = (0..<101).map { UInt8($0) }
    let whole = bytes.withUnsafeBytes { Checksum.xxh64($0) }
    for index in bytes.indices {
      bytes[index] ^= 0x10
      #expect(bytes.withUnsafeBytes { Checksum.xxh64($0) } != whole, "byte \(index)")
      bytes[index] ^= 0x10
    }
  }

  @Test func aTeamChangesNoChecksum() throws {
    let rows = 1040
    let shape = try PackedShape(type: .q4_0, numericClass: .portable, outputs: rows, depth: 4096)
    let source = (0..<rows * shape.rowBytes).map { UInt8(truncatingIfNeeded: $0 &* 167 >> 3) }
    try source.withUnsafeBytes { bytes in
      let alone = try PackedWeights(
        type: .q4_0, outputs: rows, depth: 4096, source: bytes, summing: true)
      let crowd = try PackedWeights(
        type: .q4_0, outputs: rows, depth: 4096, source: bytes, team: Threes(), summing: true)
      #expect(alone.checksum() == crowd.checksum(team: Threes()))
      #expect(alone.sourceChecksum == crowd.sourceChecksum)
      #expect(try alone.sourceChecksum == shape.sourceChecksum(bytes, team: Threes()))
      let mapped = try alone.withPackedBytes { packed in
        let memory = try AlignedMemory(byteCount: packed.count)
        memory.withBytes { $0.copyMemory(from: packed) }
        return try PackedWeights(shape: shape, memory: memory)
      }
      #expect(mapped.checksum() == alone.checksum())
    }
  }

  /// The probe tells layouts apart: another class has another layout, the same class the same.
  @Test func theLayoutProbeTellsLayoutsApart() throws {
    let portable = try PackedLayout.probe([.q4_0, .f32], .portable)
    #expect(try PackedLayout.probe([.f32, .q4_0], .portable) == portable)
    #expect(try PackedLayout.probe([.q4_0, .f32], .openBLAS) != portable)
  }

  /// Three workers, one after another.
  private struct Threes: ParallelFor {
    var width: Int { 3 }
    func run(_ body: @Sendable (Int) -> Void) { for worker in 0..<3 { body(worker) } }
  }
}
