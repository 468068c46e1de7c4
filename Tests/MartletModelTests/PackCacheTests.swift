import Foundation
import MartletMachine
import MartletModel
import Testing

/// The pack cache: it saves packing, and whatever is wrong with it costs packing and nothing else.
@Suite struct PackCacheTests {
  @Test func theSecondStartMapsWhatTheFirstPacked() throws {
    let place = try Place()
    let packed = try place.open()
    #expect(packed.report.cache == .miss)
    #expect(packed.report.cacheWritten)
    let mapped = try place.open()
    #expect(mapped.report.cache == .hit)
    #expect(!mapped.report.sourceVerified)
    #expect(!mapped.report.cacheWritten)
    #expect(mapped.bytes == packed.bytes)
    #expect(mapped.report.packedBytes == packed.report.packedBytes)
    #expect(try place.open(.off).report.cache == .off)
  }

  @Test func theCacheIsTheOwnersAlone() throws {
    let place = try Place()
    _ = try place.open()
    for path in try [place.cache] + place.packFiles() {
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect(try #require(attributes[.posixPermissions] as? Int) & 0o077 == 0, "\(path)")
    }
    chmod(try place.packFile(), 0o622)
    #expect(try place.open().report.cache == .damaged)
    #expect(try place.open().report.cache == .hit)
  }

  /// One flipped bit anywhere, and a file too short or too long.
  @Test func damageIsFoundAndRepaired() throws {
    let place = try Place()
    let good = try place.open()
    let path = try place.packFile()
    let size = try Data(contentsOf: URL(fileURLWithPath: path)).count
    let flips = [0, 9, 20, 60, 4096, 4096 + 70_000, size - 300, size - 1]
    for flip in flips {
      try place.change(path) { $0[flip] ^= 4 }
      let report = try place.open()
      #expect(report.report.cache == .damaged, "byte \(flip) of \(size)")
      #expect(report.bytes == good.bytes)
      #expect(try place.open().report.cache == .hit)
    }
    for change in [{ $0.removeLast(4097) }, { $0.removeAll() }, { $0.append(0) }]
      as [(inout Data) -> Void]
    {
      try place.change(path, change)
      #expect(try place.open().report.cache == .damaged)
      #expect(try place.open().report.cache == .hit)
    }
  }

  /// A weight that no sample covers changes, and the file's time is set back.
  @Test func aChangedModelIsPackedAgain() throws {
    let place = try Place()
    let before = try place.open()
    let times = try FileManager.default.attributesOfItem(atPath: place.model)
    // Sixty thousand bytes from the end is inside the last large tensor, between two samples.
    try place.change(place.model) { $0[$0.count - 60_000] ^= 1 }
    try FileManager.default.setAttributes(
      [.modificationDate: try #require(times[.modificationDate])], ofItemAtPath: place.model)
    let after = try place.open()
    #expect(after.fingerprint == before.fingerprint)
    #expect(after.report.cache == .stale)
    #expect(after.report.sourceVerified)
    #expect(after.bytes != before.bytes)
    let again = try place.open()
    #expect(again.report.cache == .hit)
    #expect(again.bytes == after.bytes)
  }

  @Test func aCopyIsComparedOnceAndThenKnown() throws {
    let place = try Place()
    let first = try place.open()
    let copy = place.folder.path + "/copy.gguf"
    try FileManager.default.copyItem(atPath: place.model, toPath: copy)
    let second = try place.open(path: copy)
    #expect(second.report.cache == .hit)
    #expect(second.report.sourceVerified)
    #expect(second.bytes == first.bytes)
    #expect(try place.open(path: copy).report.sourceVerified == false)
    #expect(try place.open().report.sourceVerified == false)
    #expect(try place.packFiles().filter { $0.hasSuffix(".martlet-pack") }.count == 1)
  }

  @Test func numericClassesHaveFilesOfTheirOwn() throws {
    let place = try Place()
    _ = try place.open()
    let model = try TransformerModel.load(
      path: place.model, numericClass: .openBLAS, packCache: place.options)
    #expect(model.opening.cache == .miss)
    _ = model
    #expect(try place.open().report.cache == .hit)
  }

  @Test func aPlaceThatCannotBeUsedCostsNothing() throws {
    let place = try Place()
    let good = try place.open(.off)
    // A folder below a file can be neither made nor read.
    let blocked = try place.open(.folder(place.model + "/cache"))
    #expect(blocked.report.cache == .unavailable)
    #expect(blocked.report.note?.contains(place.model) == true)
    #expect(blocked.bytes == good.bytes)
    // No room by the limit.
    var small = place.options
    small.byteLimit = 1000
    let refused = try TransformerModel.load(path: place.model, packCache: small)
    #expect(refused.opening.cache == .unavailable)
    #expect(!refused.opening.cacheWritten)
    // Too small to be worth it.
    var large = place.options
    large.smallestModel = 1 << 30
    #expect(try TransformerModel.load(path: place.model, packCache: large).opening.cache == .off)
    #expect(try place.packFiles() == [])
  }

  @Test func whileAnotherProcessWritesNothingIsWritten() throws {
    let place = try Place()
    try CacheFolder.make(place.cache)
    do {
      let lock = try #require(try FolderLock.tryTaking(place.cache))
      #expect(try place.open().report.cacheWritten == false)
      withExtendedLifetime(lock) {}
    }
    // A writer that was killed left its temporary file; the next one removes it.
    let leftover = place.cache + "/.x.martlet-pack.1-1.martlet-writing"
    try Data(count: 100).write(to: URL(fileURLWithPath: leftover))
    #expect(try place.open().report.cacheWritten)
    #expect(!FileManager.default.fileExists(atPath: leftover))
  }

  @Test func startsAtTheSameTimeAgree() async throws {
    let place = try Place()
    let good = try place.open(.off).bytes
    try await withThrowingTaskGroup(of: [UInt8].self) { group in
      for _ in 0..<6 { group.addTask { try place.open().bytes } }
      for try await bytes in group { #expect(bytes == good) }
    }
    #expect(try place.open().report.cache == .hit)
  }

  @Test func theLeastRecentlyUsedGoesFirst() throws {
    let (one, two, three) = (try Place(seed: 1), try Place(seed: 2), try Place(seed: 3))
    var options = one.options
    _ = try one.open(options.location)
    let size = try #require(
      FileManager.default.attributesOfItem(atPath: one.packFile())[.size] as? Int)
    options.byteLimit = 2 * size + size / 2
    func open(_ place: Place) throws -> OpeningReport.Cache {
      try TransformerModel.load(path: place.model, packCache: options).opening.cache
    }
    #expect(try open(two) == .miss)
    #expect(try open(one) == .hit)
    #expect(try open(three) == .miss)
    #expect(try open(one) == .hit)
    #expect(try open(two) == .miss)
    let folder = PackCacheFolder(path: one.cache)
    #expect(folder.items().count == 2)
    #expect(folder.items().allSatisfy { $0.model == "tiny" })
    #expect(try folder.clear() > size)
    #expect(try one.packFiles() == [])
  }

  @Test func besideMeansTheModelsFolder() throws {
    let place = try Place()
    #expect(try place.open(.beside).report.cacheWritten)
    let names = try FileManager.default.contentsOfDirectory(atPath: place.folder.path)
    #expect(names.contains { $0.hasSuffix(".martlet-pack") })
    #expect(try place.open(.beside).report.cache == .hit)
  }

  @Test func optionsAreReadFromText() {
    #expect(PackCacheOptions(parsing: "off").location == .off)
    #expect(PackCacheOptions(parsing: "beside").location == .beside)
    #expect(PackCacheOptions(parsing: "/x").location == .folder("/x"))
  }
}

/// A model with tensors that the fingerprint only samples, and a cache folder beside it.
private struct Place: Sendable {
  let folder: TemporaryFolder
  let model: String
  let cache: String

  var options: PackCacheOptions {
    var options = PackCacheOptions(.folder(cache))
    options.smallestModel = 0
    return options
  }

  init(seed: Int = 0) throws {
    folder = try TemporaryFolder()
    var file = tinyModel()
    file.remove("llama.feed_forward_length")
    file.add("llama.feed_forward_length", int: 4096)
    for (name, shape) in [
      ("blk.0.ffn_gate.weight", [8, 4096]), ("blk.0.ffn_up.weight", [8, 4096]),
      ("blk.0.ffn_down.weight", [4096, 8]),
    ] {
      file.change(name) { $0 = .floats(name, shape, scale: 0.01 + Float(seed)) }
    }
    model = try folder.write(file.bytes)
    // Places of other seeds share the first one's cache through its options alone.
    cache = folder.path + "/cache"
  }

  struct Opened {
    let report: OpeningReport
    let fingerprint: String
    let bytes: [UInt8]
  }

  /// Opens the model and lets it go, so that the cache is written when this returns.
  func open(
    _ location: PackCacheOptions.Location? = nil, path: String? = nil
  ) throws -> Opened {
    var options = options
    if let location { options.location = location }
    let model = try TransformerModel.load(path: path ?? model, packCache: options)
    let layer = model.layers[0]
    let matrices = [layer.query, layer.gate, layer.up, layer.down, model.output]
    return Opened(
      report: model.opening, fingerprint: model.fingerprint,
      bytes: matrices.flatMap { $0.withPackedBytes { Array($0) } })
  }

  func packFiles() throws -> [String] {
    guard FileManager.default.fileExists(atPath: cache) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: cache).sorted().map {
      cache + "/" + $0
    }
  }

  func packFile() throws -> String {
    try #require(try packFiles().first { $0.hasSuffix(".martlet-pack") })
  }

  func change(_ path: String, _ body: (inout Data) -> Void) throws {
    let url = URL(fileURLWithPath: path)
    var data = try Data(contentsOf: url)
    body(&data)
    let handle = try FileHandle(forWritingTo: url)
    try handle.truncate(atOffset: 0)
    try handle.write(contentsOf: data)
    try handle.close()
  }
}
