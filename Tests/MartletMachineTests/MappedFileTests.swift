import Foundation
import MartletMachine
import Testing

struct MappedFileTests {
  static func temporary(_ bytes: [UInt8]) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "martlet-\(UUID().uuidString)"
    ).path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  @Test func readsWhatIsThere() throws {
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let path = try Self.temporary(bytes)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try MappedFile(path: path)
    #expect(file.count == bytes.count)
    #expect(file.withBytes { Array($0) } == bytes)
    #expect(try file.bytes(in: 5..<5000) == Array(bytes[5..<5000]))
    file.prefetch(0..<file.count)
    file.release(0..<file.count)
    #expect(file.withBytes { Array($0) } == bytes)
    try file.verifyUnchanged()
  }

  @Test func emptyFilesAreFine() throws {
    let path = try Self.temporary([])
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try MappedFile(path: path)
    #expect(file.count == 0)
    #expect(file.withBytes { $0.count } == 0)
    file.release(0..<10)
  }

  @Test(arguments: [-1..<3, 0..<11, 10..<11]) func rangesOutsideAreErrors(range: Range<Int>) throws
  {
    let path = try Self.temporary(Array(repeating: 1, count: 10))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try MappedFile(path: path)
    let error = #expect(throws: MachineError.self) { try file.bytes(in: range) }
    #expect(error?.message.contains(path) == true)
  }

  @Test(arguments: ["/nonexistent/model.gguf", "/", ""]) func whatIsNoFileIsAnError(path: String) {
    let error = #expect(throws: MachineError.self) { try MappedFile(path: path) }
    #expect(error?.code == .file)
  }

  @Test func contentOutlivesRemovalAndReplacement() throws {
    let path = try Self.temporary([1, 2, 3])
    let file = try MappedFile(path: path)
    try FileManager.default.removeItem(atPath: path)
    try Data([9]).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try file.bytes(in: 0..<3) == [1, 2, 3])
    try file.verifyUnchanged()
  }

  @Test func aFileCutShortIsNoticed() throws {
    let path = try Self.temporary(Array(repeating: 5, count: 20_000))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try MappedFile(path: path)
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 100)
    try handle.close()
    let error = #expect(throws: MachineError.self) { try file.verifyUnchanged() }
    #expect(error?.message.contains("20000") == true)
  }
}

struct DeadlineTests {
  @Test func deadlinesPass() {
    #expect(!Deadline.never.hasPassed)
    #expect(Deadline.never.secondsLeft == .infinity)
    #expect(Deadline(after: 0).hasPassed)
    #expect(Deadline(after: -5).hasPassed)
    #expect(!Deadline(after: .infinity).hasPassed)
    let soon = Deadline(after: 1000)
    #expect(!soon.hasPassed && soon.secondsLeft > 900 && soon.secondsLeft <= 1000)
  }

  @Test(.timeLimit(.minutes(1))) func aFIFOIsRefusedAtOnce() throws {
    let path = NSTemporaryDirectory() + "martlet-fifo-\(UUID().uuidString)"
    #expect(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    #expect(throws: MachineError.self) { try MappedFile(path: path) }
  }
}
