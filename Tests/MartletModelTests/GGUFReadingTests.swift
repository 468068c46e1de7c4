import Foundation
import MartletModel
import Testing

@Suite struct GGUFReadingTests {
  @Test func everyValueTypeComesBack() throws {
    let folder = try TemporaryFolder()
    var file = GGUFBytes()
    file.add("u8", type: 0, [200])
    file.add("i8", type: 1, [UInt8(bitPattern: -100)])
    file.add("u16", type: 2, GGUFBytes.little(UInt16(60_000)))
    file.add("i16", type: 3, GGUFBytes.little(Int16(-30_000)))
    file.add("u32", type: 4, GGUFBytes.little(UInt32(4_000_000_000)))
    file.add("i32", type: 5, GGUFBytes.little(Int32(-2_000_000_000)))
    file.add("f32", Float(0.1))
    file.add("yes", true)
    file.add("text", "größer 🐦")
    file.add("u64", type: 10, GGUFBytes.little(UInt64(1) << 40))
    file.add("i64", type: 11, GGUFBytes.little(-(Int64(1) << 40)))
    file.add("f64", type: 12, GGUFBytes.little((0.1).bitPattern))
    file.add("strings", ["a", "", "ö"])
    file.add("ints", [3, -4, 5] as [Int32])
    file.add("floats", [0.5, -1.5] as [Float])
    file.add("bools", type: 9, GGUFBytes.little(UInt32(7)) + GGUFBytes.little(UInt64(2)) + [1, 0])
    let metadata = try GGUFFile(path: folder.write(file.bytes)).metadata

    #expect(try metadata.int("u8") == 200)
    #expect(try metadata.int("i8") == -100)
    #expect(try metadata.int("u16") == 60_000)
    #expect(try metadata.int("i16") == -30_000)
    #expect(try metadata.int("u32") == 4_000_000_000)
    #expect(try metadata.int("i32") == -2_000_000_000)
    #expect(try metadata.float("f32") == Double(Float(0.1)))
    #expect(try metadata.bool("yes"))
    #expect(try metadata.string("text") == "größer 🐦")
    #expect(try metadata.int("u64") == 1 << 40)
    #expect(try metadata.int("i64") == -(1 << 40))
    #expect(try metadata.float("f64") == 0.1)
    #expect(try metadata.array("strings").strings() == ["a", "", "ö"])
    #expect(try metadata.array("ints").integers() == [3, -4, 5])
    #expect(try metadata.array("floats").floats() == [0.5, -1.5])
    #expect(try metadata.array("bools").bools() == [true, false])
    #expect(metadata.entries.map(\.key).prefix(3) == ["u8", "i8", "u16"])
  }

  @Test func lookupsNameTheFileTheKeyAndTheFault() throws {
    let folder = try TemporaryFolder()
    var file = GGUFBytes()
    file.add("number", int: 7)
    file.add("big", type: 10, GGUFBytes.little(UInt64.max))
    file.add("latin1", type: 8, GGUFBytes.little(UInt64(2)) + [0xff, 0xfe])
    file.add("strings", ["a"])
    let path = try folder.write(file.bytes)
    let metadata = try GGUFFile(path: path).metadata

    let missing = modelError { _ = try metadata.string("absent") }
    #expect(missing?.code == .missing)
    #expect(missing?.message.contains("'absent'") == true)
    #expect(missing?.message.contains(path) == true)
    #expect(modelError { _ = try metadata.string("number") }?.code == .value)
    #expect(modelError { _ = try metadata.optionalString("number") }?.code == .value)
    #expect(modelError { _ = try metadata.int("big") }?.code == .value)
    #expect(modelError { _ = try metadata.string("latin1") }?.code == .value)
    #expect(modelError { _ = try metadata.array("strings").integers() }?.code == .value)
    #expect(modelError { _ = try metadata.array("number") }?.code == .value)
    #expect(try metadata.optionalInt("absent") == nil)
  }

  @Test(arguments: [UInt32(2), 3])
  func tensorsAreWhereTheFileSays(version: UInt32) throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.version = version
    file.add("general.alignment", int: 64)
    file.alignment = 64
    let model = try GGUFFile(path: folder.write(file.bytes))
    #expect(model.version == Int(version))
    #expect(model.tensorList.map(\.name) == file.tensors.map(\.name))
    for tensor in file.tensors {
      let info = try #require(model.tensors[tensor.name])
      #expect(info.shape == tensor.shape.map(Int.init))
      #expect(info.type.name == "F32")
      #expect(info.offset.isMultiple(of: 64))
      #expect(model.withTensorBytes(info) { Array($0) } == tensor.data)
    }
  }

  @Test func aHundredAndFiftyThousandTokensOpenAndDecode() throws {
    let folder = try TemporaryFolder()
    let tokens = (0..<150_000).map { "token-\($0)" }
    var file = GGUFBytes()
    file.add("tokenizer.ggml.tokens", tokens)
    let metadata = try GGUFFile(path: folder.write(file.bytes)).metadata
    let array = try metadata.array("tokenizer.ggml.tokens")
    #expect(array.count == tokens.count)
    #expect(try array.strings() == tokens)
    #expect(try array.byteStrings().last == Array("token-149999".utf8))
  }

  @Test func metadataCanBeBuiltInCode() throws {
    let metadata = try GGUFMetadata(entries: [
      GGUFEntry(key: "a", type: .array, value: .array(GGUFArray(["x", "y"]))),
      GGUFEntry(key: "b", type: .float32, value: .float(2)),
      GGUFEntry(key: "c", type: .array, value: .array(GGUFArray([1, 2, 3]))),
    ])
    #expect(try metadata.array("a").strings() == ["x", "y"])
    #expect(try metadata.float("b") == 2)
    #expect(try metadata.array("c").floats() == [1, 2, 3])
    #expect(modelError { _ = try metadata.array("c").strings() }?.code == .value)
  }

  @Test func modelInfoAddsUpAndCutsShort() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    file.add("long.text", String(repeating: "x", count: 5_000))
    file.add("evil.text", "\u{1b}[31mred\nline")
    let info = try ModelInfo(path: folder.write(file.bytes))
    let parameters = file.tensors.reduce(0) { $0 + $1.data.count / 4 }
    #expect(info.parameters == parameters)
    #expect(info.types.map(\.type) == ["F32"])
    #expect(info.types[0].bytes == 4 * parameters)
    let values = Dictionary(uniqueKeysWithValues: info.metadata.map { ($0.key, $0.value) })
    #expect(values["tokenizer.ggml.tokens"]?.hasSuffix("… 2 more]") == true)
    #expect((values["long.text"]?.count ?? .max) < 250)
    #expect(values["evil.text"] == "\"\\u{1b}[31mred\\nline\"")
    #expect(info.description.contains("general.architecture"))
  }

  @Test func fingerprintFollowsContentsNotPlace() throws {
    let folder = try TemporaryFolder()
    var file = tinyModel()
    let first = try ModelInfo(path: folder.write(file.bytes, "a.gguf")).fingerprint
    let copy = try ModelInfo(path: folder.write(file.bytes, "b.gguf")).fingerprint
    file.change("blk.0.ffn_up.weight") { $0.data[17] ^= 1 }
    let changed = try ModelInfo(path: folder.write(file.bytes, "c.gguf")).fingerprint
    #expect(first == copy)
    #expect(first != changed)
    #expect(first.count == 16)
  }
}
