import Foundation
import MartletModel
import Testing

@Suite struct SplitModelTests {
  /// The tiny model over three files.
  static func parts() -> [GGUFBytes] {
    let whole = tinyModel()
    return (0..<3).map { number in
      var part = number == 0 ? whole : GGUFBytes()
      part.tensors = whole.tensors.enumerated().filter { $0.offset % 3 == number }.map(\.element)
      part.add("split.no", u16: UInt16(number))
      part.add("split.count", u16: 3)
      part.add("split.tensors.count", type: 5, GGUFBytes.little(Int32(whole.tensors.count)))
      return part
    }
  }

  static func name(_ number: Int) -> String { "tiny-0000\(number + 1)-of-00003.gguf" }

  static func write(_ parts: [GGUFBytes], _ folder: TemporaryFolder) throws -> String {
    var first = ""
    for (number, part) in parts.enumerated() {
      let path = try folder.write(part.bytes, name(number))
      if number == 0 { first = path }
    }
    return first
  }

  @Test func partsMakeOneModel() throws {
    let folder = try TemporaryFolder()
    let whole = tinyModel()
    let file = try GGUFFile(path: Self.write(Self.parts(), folder))
    #expect(file.partCount == 3)
    #expect(file.tensors.count == whole.tensors.count)
    for tensor in whole.tensors {
      let info = try #require(file.tensors[tensor.name])
      #expect(file.withTensorBytes(info) { Array($0) } == tensor.data)
    }
    let model = try TransformerModel.load(path: file.path)
    #expect(model.configuration.width == 8)
  }

  @Test func aMissingPartIsNamed() throws {
    let folder = try TemporaryFolder()
    let path = try Self.write(Array(Self.parts().prefix(2)), folder)
    let error = modelError { _ = try GGUFFile(path: path) }
    #expect(error?.code == .split)
    #expect(error?.message.contains(Self.name(2)) == true)
  }

  @Test func aLaterPartPointsToTheFirst() throws {
    let folder = try TemporaryFolder()
    _ = try Self.write(Self.parts(), folder)
    let error = modelError { _ = try GGUFFile(path: folder.path + "/" + Self.name(1)) }
    #expect(error?.code == .split)
    #expect(error?.message.contains(Self.name(0)) == true)
  }

  @Test func aRenamedPartIsRefused() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Self.parts()[0].bytes, "renamed.gguf")
    #expect(modelError { _ = try GGUFFile(path: path) }?.code == .split)
  }

  @Test func foreignPartsAreRefused() throws {
    let folder = try TemporaryFolder()
    var swapped = Self.parts()
    swapped.swapAt(1, 2)
    let order = try Self.write(swapped, folder)
    #expect(modelError { _ = try GGUFFile(path: order) }?.code == .split)

    var doubled = Self.parts()
    doubled[1].tensors.append(doubled[0].tensors[0])
    let duplicate = try Self.write(doubled, folder)
    #expect(modelError { _ = try GGUFFile(path: duplicate) }?.code == .split)

    var short = Self.parts()
    short[2].tensors.removeLast()
    let count = try Self.write(short, folder)
    let error = modelError { _ = try GGUFFile(path: count) }
    #expect(error?.code == .split)
    #expect(error?.message.contains("split.tensors.count") == true)
  }
}
