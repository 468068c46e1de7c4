import Foundation
import MartletEngine
import MartletKernels
import MartletMachine
import MartletModel
import Testing

/// Keys and values in a file: slower where memory is short, and nothing else.
@Suite("Keys and values in a file", .serialized)
struct MappedPagesTests {
  private func generate(
    _ fixture: TransformerFixture, _ kvType: KVType?, _ attention: AttentionMethod, file: Bool,
    evicting: Bool = false
  ) throws -> [[Token]] {
    let folder = FileManager.default.temporaryDirectory.path
    var options = TransformerBackend.Options(
      kvType: kvType, maximumBatchTokens: 128, attention: attention)
    if file { options.file = .init(path: folder, byteCount: 32 << 20) }
    let backend = try TransformerBackend(
      parts: fixture.parts, team: ThreadTeam(threads: 2), options: options)
    let engine = try Engine(backend: backend)
    defer { engine.shutdown() }
    let run = try engine.makeRun(prompt: fixture.tokens(1_300, seed: 5), seed: 3)
    var branches = try run.root.fork(2)
    for _ in 0..<6 {
      try run.advanceBlocking(branches, Advance(maxTokens: 8))
      // Between passes: what is read next comes from the device, and is asked for ahead.
      if evicting { backend.leaveMemory() }
    }
    branches = try run.resample(branches, ancestors: [1, 1, 0])
    try run.advanceBlocking(branches, Advance(maxTokens: 20))
    let texts = branches.map(\.tokens)
    for branch in branches { branch.release() }
    run.root.release()
    #expect(engine.pagesInUse == 0)
    return texts
  }

  private static let retrieve = AttentionMethod.retrieve(
    .init(wanted: 24, minimumPositions: 1024, recent: 64, nibbles: 16))

  @Test("the same texts as in memory", arguments: KVType.allCases)
  func everyType(kvType: KVType) throws {
    let fixture = try TransformerFixture(seed: 81, type: .f16, context: 1_800)
    for attention in [AttentionMethod.exact, Self.retrieve] {
      let expected = try generate(fixture, kvType, attention, file: false)
      #expect(try generate(fixture, kvType, attention, file: true) == expected)
      #expect(
        try generate(fixture, kvType, attention, file: true, evicting: true) == expected)
    }
  }

  @Test("a file that cannot be had is an error of opening")
  func refused() throws {
    let fixture = try TransformerFixture(seed: 81)
    for (path, bytes) in [("/proc/nowhere", 1 << 20), ("/tmp", 1 << 60)] {
      var options = TransformerBackend.Options()
      options.file = .init(path: path, byteCount: bytes)
      let error = engineError {
        try TransformerBackend(
          parts: fixture.parts, team: ThreadTeam(threads: 1), options: options)
      }
      #expect(error?.code == .file && error?.message.contains(path) == true)
    }
  }

  @Test("pages beyond the file are refused with what it has")
  func full() throws {
    let fixture = try TransformerFixture(seed: 81)
    var options = TransformerBackend.Options()
    options.file = .init(path: FileManager.default.temporaryDirectory.path, byteCount: 1 << 20)
    let backend = try TransformerBackend(
      parts: fixture.parts, team: ThreadTeam(threads: 1), options: options)
    try backend.reservePages((1 << 20) / backend.bytesPerPage)
    let error = engineError { try backend.reservePages(1 << 20) }
    #expect(error?.code == .memory)
  }
}
