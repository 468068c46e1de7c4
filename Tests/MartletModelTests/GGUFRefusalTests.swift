import Foundation
import MartletModel
import Testing

/// Every kind of damage has its own error, which names what is wrong.
@Suite struct GGUFRefusalTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var code: ModelError.Code
    /// Words the message must hold.
    var mentions: [String]
    var change: @Sendable (inout GGUFBytes) -> Void
    var testDescription: String { name }
  }

  static let cases: [Case] = [
    Case(name: "magic", code: .format, mentions: ["not a GGUF"]) { $0.magic = [1, 2, 3, 4] },
    Case(name: "version 1", code: .unsupported, mentions: ["version 1"]) { $0.version = 1 },
    Case(name: "version 4", code: .unsupported, mentions: ["version 4"]) { $0.version = 4 },
    Case(name: "big-endian", code: .unsupported, mentions: ["big-endian"]) {
      $0.version = UInt32(3).byteSwapped
    },
    Case(name: "tensor count", code: .truncated, mentions: ["tensor count"]) {
      $0.tensorCount = 1 << 60
    },
    Case(name: "metadata count", code: .truncated, mentions: ["metadata count"]) {
      $0.entryCount = .max
    },
    Case(name: "duplicate key", code: .format, mentions: ["'twice'"]) {
      $0.add("twice", int: 1)
      $0.add("twice", int: 2)
    },
    Case(name: "empty key", code: .format, mentions: ["empty"]) { $0.add("", int: 1) },
    Case(name: "value type", code: .format, mentions: ["'odd'", "13"]) {
      $0.add("odd", type: 13, [0])
    },
    Case(name: "boolean of 2", code: .format, mentions: ["'flag'", "2"]) {
      $0.add("flag", type: 7, [2])
    },
    Case(name: "string length", code: .truncated, mentions: ["'text'"]) {
      $0.add("text", type: 8, GGUFBytes.little(UInt64.max))
    },
    Case(name: "array length", code: .truncated, mentions: ["'list'"]) {
      $0.add("list", type: 9, GGUFBytes.little(UInt32(4)) + GGUFBytes.little(UInt64(1) << 61))
    },
    Case(name: "array of unknown type", code: .format, mentions: ["'list'", "99"]) {
      $0.add("list", type: 9, GGUFBytes.little(UInt32(99)) + GGUFBytes.little(UInt64(1)))
    },
    Case(name: "nesting", code: .format, mentions: ["'deep'", "nests"]) {
      let nest = GGUFBytes.little(UInt32(9)) + GGUFBytes.little(UInt64(1))
      let inner = GGUFBytes.little(UInt32(0)) + GGUFBytes.little(UInt64(0))
      $0.add("deep", type: 9, nest + nest + nest + nest + nest + inner)
    },
    Case(name: "alignment 0", code: .value, mentions: ["general.alignment"]) {
      $0.add("general.alignment", int: 0)
    },
    Case(name: "alignment 48", code: .value, mentions: ["general.alignment", "48"]) {
      $0.add("general.alignment", int: 48)
    },
    Case(name: "alignment as text", code: .value, mentions: ["general.alignment"]) {
      $0.add("general.alignment", "32")
    },
    Case(name: "duplicate tensor", code: .format, mentions: ["'output_norm.weight'", "twice"]) {
      $0.tensors.append(.floats("output_norm.weight", [8]))
    },
    Case(name: "long tensor name", code: .format, mentions: ["name of tensor", "64"]) {
      $0.tensors.append(.floats(String(repeating: "n", count: 65), [8]))
    },
    Case(name: "no dimensions", code: .format, mentions: ["'flat'", "0 dimensions"]) {
      $0.tensors.append(.init(name: "flat", shape: [], data: []))
    },
    Case(name: "five dimensions", code: .format, mentions: ["'deep'", "5 dimensions"]) {
      $0.tensors.append(.init(name: "deep", shape: [1, 1, 1, 1, 1], data: [0, 0, 0, 0]))
    },
    Case(name: "dimension 0", code: .format, mentions: ["'empty'"]) {
      $0.tensors.append(.init(name: "empty", shape: [8, 0], data: []))
    },
    Case(name: "dimension overflow", code: .format, mentions: ["'huge'"]) {
      $0.tensors.append(.init(name: "huge", shape: [1 << 32, 1 << 32], data: []))
    },
    Case(name: "dimension beyond Int", code: .format, mentions: ["'huge'"]) {
      $0.tensors.append(.init(name: "huge", shape: [.max], data: []))
    },
    Case(name: "byte count overflow", code: .format, mentions: ["'huge'"]) {
      $0.tensors.append(.init(name: "huge", shape: [1 << 62], data: []))
    },
    Case(name: "tensor type", code: .unsupported, mentions: ["'odd'", "77"]) {
      $0.tensors.append(.init(name: "odd", shape: [8], type: 77, data: []))
    },
    Case(name: "partial block", code: .format, mentions: ["'partial'", "Q4_0", "32"]) {
      $0.tensors.append(.init(name: "partial", shape: [33], type: 2, data: []))
    },
    Case(name: "misaligned tensor", code: .format, mentions: ["alignment"]) {
      $0.change("output_norm.weight") { $0.offset = 4 }
    },
    Case(name: "overlap", code: .format, mentions: ["overlap", "token_embd.weight"]) {
      $0.change("output_norm.weight") { $0.offset = 32 }
    },
    Case(name: "tensor past the end", code: .truncated, mentions: ["blk.0.ffn_down.weight"]) {
      $0.change("blk.0.ffn_down.weight") { $0.offset = 1 << 40 }
    },
    Case(name: "tensor offset overflow", code: .truncated, mentions: ["blk.0.ffn_down.weight"]) {
      $0.change("blk.0.ffn_down.weight") { $0.offset = UInt64.max - 31 }
    },
  ]

  @Test(arguments: cases)
  func refuses(_ damage: Case) throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    damage.change(&file)
    let path = try folder.write(file.bytes)
    let error = try #require(modelError { _ = try GGUFFile(path: path) })
    #expect(error.code == damage.code, "\(error)")
    #expect(error.message.contains(path))
    for word in damage.mentions { #expect(error.message.contains(word), "\(error)") }
  }

  @Test func refusesWhatIsNoFile() throws {
    let folder = try TemporaryFolder()
    #expect(modelError { _ = try GGUFFile(path: folder.path + "/none") }?.code == .file)
    #expect(modelError { _ = try GGUFFile(path: folder.path) }?.code == .file)
    let empty = try folder.write([], "empty.gguf")
    #expect(modelError { _ = try GGUFFile(path: empty) }?.code == .format)
    let short = try folder.write(Array("GGUF".utf8), "short.gguf")
    #expect(modelError { _ = try GGUFFile(path: short) }?.code == .format)
  }

  @Test func everyTruncationIsAnError() throws {
    let folder = try TemporaryFolder()
    let bytes = tinyModel().bytes
    // The last tensor fills its alignment, so every shorter file lacks something.
    for count in stride(from: 0, to: bytes.count, by: 7) {
      let path = try folder.write(Array(bytes.prefix(count)))
      let error = modelError { _ = try GGUFFile(path: path) }
      #expect(error != nil, "\(count) of \(bytes.count) bytes were accepted")
    }
  }
}
