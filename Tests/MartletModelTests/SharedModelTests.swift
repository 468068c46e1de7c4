import Foundation
import MartletModel
import Testing

@Suite struct SharedModelTests {
  @Test func oneFileIsOneModelWhileSomebodyHasIt() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(tinyModel().bytes)
    weak var gone: TransformerModel?
    do {
      let first = try TransformerModel.shared(path: path)
      #expect(try TransformerModel.shared(path: path) === first)
      #expect(try TransformerModel.load(path: path) !== first)
      #expect(try TransformerModel.shared(path: path, numericClass: .bf16Dot) !== first)
      gone = first
    }
    #expect(gone == nil)
    #expect(try TransformerModel.shared(path: path).configuration.width == 8)
  }

  @Test func anotherFileOfTheSameNameIsAnotherModel() throws {
    let folder = try TemporaryFolder()
    let path = try SplitModelTests.write(SplitModelTests.parts(), folder)
    let first = try TransformerModel.shared(path: path)
    // The same bytes in a new file, of the last part alone.
    let last = folder.path + "/" + SplitModelTests.name(2)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: last))
    try FileManager.default.removeItem(atPath: last)
    #expect(modelError { _ = try TransformerModel.shared(path: path) }?.code == .split)
    try bytes.write(to: URL(fileURLWithPath: last))
    let second = try TransformerModel.shared(path: path)
    #expect(second !== first)
    #expect(try TransformerModel.shared(path: path) === second)
  }

  @Test func threadsThatOpenAtOnceEndUpWithOne() async throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(tinyModel().bytes)
    let models = try await withThrowingTaskGroup(of: TransformerModel.self) { group in
      for _ in 0..<8 { group.addTask { try TransformerModel.shared(path: path) } }
      var models: [TransformerModel] = []
      for try await model in group { models.append(model) }
      return models
    }
    #expect(models.allSatisfy { $0 === models[0] })
  }
}
