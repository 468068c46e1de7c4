import Foundation
import MartletEngine
import MartletKernels
import MartletSimulation
import Testing

/// What an engine remembers of generated text: bounded, forgotten when asked, kept in files.
@Suite("Memory of generated text")
struct DraftMemoryTests {
  private let prompt = tokens("abc defg. hij ")
  private let trie = Drafting([.trie])

  private func generate(_ engine: Engine, seed: UInt64 = 9, count: Int = 150) throws -> (
    texts: [[Int32]], run: RunStatistics
  ) {
    let run = try engine.makeRun(prompt: prompt, seed: seed, drafting: trie)
    let branches = try run.root.fork(2)
    try run.advanceBlocking(branches, Advance(maxTokens: count))
    return (branches.map(\.tokens), run.statistics)
  }

  private func withFile<R>(_ body: (String) throws -> R) throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "martlet-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.appendingPathComponent("drafts").path)
  }

  @Test("what was generated once is guessed from a file as from memory, and forgotten when asked")
  func remembering() throws {
    try withFile { path in
      let first = try Engine(backend: repetitiveBackend(certainty: 40))
      let cold = try generate(first)
      try first.saveGenerated(to: path)
      let warm = try generate(first)
      let second = try Engine(backend: repetitiveBackend(certainty: 40))
      try second.loadGenerated(from: path)
      let loaded = try generate(second)
      #expect(loaded.texts == cold.texts && warm.texts == cold.texts)
      // The same memory and rates: the same drafts.
      #expect(loaded.run.draftedTokens == warm.run.draftedTokens)
      #expect(loaded.run.acceptedTokens == warm.run.acceptedTokens)
      #expect(loaded.run.forwards * 5 < cold.run.forwards * 4, "the memory was of no use")

      second.forgetGenerated()
      let forgotten = try generate(second)
      #expect(forgotten.texts == cold.texts)
      #expect(forgotten.run.draftedTokens == cold.run.draftedTokens)
      #expect(forgotten.run.acceptedTokens == cold.run.acceptedTokens)
      // Read again and written again, it is the same file.
      let third = try Engine(backend: repetitiveBackend(certainty: 40))
      try third.loadGenerated(from: path)
      let copy = path + "2"
      try third.saveGenerated(to: copy)
      let (a, b) = (
        try Data(contentsOf: .init(filePath: path)), try Data(contentsOf: .init(filePath: copy))
      )
      #expect(a.count == b.count && a.prefix(32) == b.prefix(32))
      #expect(
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
    }
  }

  @Test("an engine that generated nothing writes an empty memory")
  func empty() throws {
    try withFile { path in
      let engine = try Engine(backend: repetitiveBackend())
      try engine.saveGenerated(to: path)
      try engine.loadGenerated(from: path)
      let cold = try generate(try Engine(backend: repetitiveBackend()))
      #expect(try generate(engine).run == cold.run)
    }
  }

  @Test("forgetting and loading in the middle of a run change no text")
  func meanwhile() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("drafts").path
    let plain = try generate(try Engine(backend: repetitiveBackend()), count: 2000).texts
    let engine = try Engine(backend: repetitiveBackend())
    try engine.saveGenerated(to: path)
    let run = try engine.makeRun(prompt: prompt, seed: 9, drafting: trie)
    let branches = try run.root.fork(2)
    let work = Task { try await run.advance(branches, Advance(maxTokens: 2000)) }
    for turn in 0..<60 {
      switch turn % 3 {
      case 0: engine.forgetGenerated()
      case 1: try engine.saveGenerated(to: path)
      default: try engine.loadGenerated(from: path)
      }
    }
    try await work.value
    #expect(branches.map(\.tokens) == plain)
  }

  @Test("the memory keeps to its bound, and what was seen lately stays")
  func bound() throws {
    try withFile { path in
      let engine = try Engine(
        backend: repetitiveBackend(), configuration: .init(draftMemoryBytes: 64 << 10))
      for seed in 0..<20 { _ = try generate(engine, seed: UInt64(seed), count: 300) }
      try engine.saveGenerated(to: path)
      let size = try Data(contentsOf: .init(filePath: path)).count
      #expect(size < (64 << 10) + 1024 && size > 16 << 10)
      // A larger engine takes all of it, a smaller one the newest.
      let small = try Engine(
        backend: repetitiveBackend(), configuration: .init(draftMemoryBytes: 48 << 10))
      try small.loadGenerated(from: path)
      let copy = path + "2"
      try small.saveGenerated(to: copy)
      #expect(try Data(contentsOf: .init(filePath: copy)).count <= (48 << 10) + 1024)
    }
    // Two generations of the smallest table take 48 KiB.
    let error = engineError {
      try Engine(
        backend: repetitiveBackend(), configuration: .init(draftMemoryBytes: (48 << 10) - 1))
    }
    #expect(error?.code == .argument && error?.message.contains("draftMemoryBytes") ?? false)
  }

  @Test("damaged, foreign and missing files are refused by name, and nothing changes")
  func refusals() throws {
    try withFile { path in
      let engine = try Engine(backend: repetitiveBackend())
      _ = try generate(engine)
      func refusal(_ bytes: Data?, _ engine: Engine) throws -> EngineError? {
        if let bytes { try bytes.write(to: URL(filePath: path)) }
        let error = engineError { try engine.loadGenerated(from: path) }
        #expect(error == nil || error?.message.contains(path) ?? false)
        return error
      }
      #expect(try refusal(nil, engine)?.code == .file)
      #expect(engineError { try engine.loadGenerated(from: "/tmp") }?.code == .file)
      #expect(
        engineError { try engine.saveGenerated(to: path + "/no/such") }?.code == .file)
      try engine.saveGenerated(to: path)
      let sound = try Data(contentsOf: .init(filePath: path))
      #expect(try refusal(sound, engine) == nil)

      let other = try Engine(
        backend: SimulatedBackend(
          world: HashedWorld(codec: WordCodec(words: words.reversed()), seed: 1, spread: 1)))
      let foreign = try #require(try refusal(sound, other))
      #expect(foreign.code == .data && foreign.message.contains("tokenizer"))

      for (bytes, reason) in [
        (Data(), "no memory"), (Data("MARTDRFT".utf8), "no memory"), (sound.dropLast(), "length"),
        (sound + [0], "length"), (sound.prefix(40), "length"),
      ] {
        let error = try refusal(bytes, engine)
        #expect(error?.code == .data && error?.message.contains(reason) ?? false)
      }
      var newer = sound
      newer[8] = 3
      #expect(try refusal(newer, engine)?.message.contains("version 3") ?? false)
      // A right checksum over what no program writes.
      for offset in [32, 36, sound.count - 56 + 8, sound.count - 56 + 11] {
        var hostile = sound
        hostile[offset + 3] = 0x7F
        let sum = [UInt8](hostile.dropLast(8)).withUnsafeBytes { Checksum.xxh64($0) }
        hostile.replaceSubrange(
          hostile.count - 8..<hostile.count,
          with: (0..<8).map { UInt8(truncatingIfNeeded: sum >> (8 * UInt64($0))) })
        #expect(try refusal(hostile, engine)?.code == .data, "offset \(offset)")
      }
      let texts = try generate(engine).texts
      #expect(try texts == generate(try Engine(backend: repetitiveBackend())).texts)
    }
  }

  @Test("weights at their limit are read, learned with, copied and written")
  func limits() throws {
    try withFile { path in
      let engine = try Engine(backend: repetitiveBackend())
      _ = try generate(engine)
      try engine.saveGenerated(to: path)
      var bytes = [UInt8](try Data(contentsOf: .init(filePath: path)))
      let numbers = (0..<4).reduce(0) { $0 | Int(bytes[12 + $1]) << (8 * $1) }
      // The last numbers are weights, eight in a set.
      for number in numbers - 8..<numbers {
        let value = (number % 2 == 0 ? Float(1e3) : -1e3).bitPattern
        for i in 0..<4 {
          bytes[32 + 4 * number + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i))
        }
      }
      let sum = bytes.dropLast(8).withUnsafeBytes { Checksum.xxh64($0) }
      for i in 0..<8 {
        bytes[bytes.count - 8 + i] = UInt8(truncatingIfNeeded: sum >> UInt64(8 * i))
      }
      try Data(bytes).write(to: URL(filePath: path))
      try engine.loadGenerated(from: path)
      let plain = try generate(try Engine(backend: repetitiveBackend()), count: 400).texts
      #expect(try generate(engine, count: 400).texts == plain)
      try engine.saveGenerated(to: path)
      try engine.loadGenerated(from: path)
    }
  }

  @Test("whatever the bytes, loading gives a memory or an error", arguments: 0..<4)
  func fuzz(batch: Int) throws {
    try withFile { path in
      let engine = try Engine(backend: repetitiveBackend())
      _ = try generate(engine, count: 60)
      try engine.saveGenerated(to: path)
      let sound = [UInt8](try Data(contentsOf: .init(filePath: path)))
      var random = TestRandom(seed: UInt64(batch))
      var loaded = 0
      for _ in 0..<150 {
        var bytes = sound
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let place =
            Bool.random(using: &random)
            ? Int.random(in: 0..<40, using: &random)
            : Int.random(in: 0..<bytes.count, using: &random)
          switch Int.random(in: 0..<4, using: &random) {
          case 0: bytes[min(place, bytes.count - 1)] = UInt8.random(in: 0...255, using: &random)
          case 1: bytes[min(place, bytes.count - 1)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
          case 2: bytes.removeSubrange(min(place, bytes.count - 1)...)
          default: bytes.insert(contentsOf: [0, 255, 1], at: min(place, bytes.count))
          }
          if bytes.isEmpty { bytes = [0] }
        }
        if bytes == sound { continue }
        // Half of them with a right checksum, so that what is behind it is met too.
        if batch % 2 == 0, bytes.count > 8 {
          let sum = bytes.dropLast(8).withUnsafeBytes { Checksum.xxh64($0) }
          bytes.replaceSubrange(
            bytes.count - 8..<bytes.count,
            with: (0..<8).map { UInt8(truncatingIfNeeded: sum >> (8 * UInt64($0))) })
        }
        try Data(bytes).write(to: URL(filePath: path))
        let error = engineError { try engine.loadGenerated(from: path) }
        #expect(error == nil || error?.code == .data, "seed \(batch): \(error!)")
        if error == nil { loaded += 1 }
      }
      if batch % 2 == 0 { #expect(loaded > 0) } else { #expect(loaded == 0) }
      let plain = try generate(try Engine(backend: repetitiveBackend())).texts
      #expect(try generate(engine).texts == plain)
    }
  }
}
