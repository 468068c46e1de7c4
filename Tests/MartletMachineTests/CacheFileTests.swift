import Foundation
import MartletKernels
import MartletMachine
import Testing

@Suite struct CacheFileTests {
  @Test func aFileAppearsWholeOrNotAtAll() throws {
    let folder = try Folder()
    let path = folder.path + "/kept"
    do {
      let file = try AtomicFile(path: path)
      try Array("abc".utf8).withUnsafeBytes { try file.write($0, at: 0) }
      #expect(!FileManager.default.fileExists(atPath: path))
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    try AtomicFile.write(Data("first".utf8), to: path)
    try AtomicFile.write(Data("second".utf8), to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("second".utf8))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["kept"])
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
  }

  @Test func whatAKilledWriterLeftIsRemoved() throws {
    let folder = try Folder()
    let file = try AtomicFile(path: folder.path + "/kept", expectedBytes: 4096)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
    AtomicFile.removeLeftovers(in: folder.path)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    withExtendedLifetime(file) {}
  }

  @Test func aFolderThatCannotBeWrittenIsAnErrorThatNamesIt() {
    #expect {
      try AtomicFile.write(Data(), to: "/proc/martlet/none")
    } throws: {
      "\($0)".contains("/proc/martlet")
    }
    #expect(throws: MachineError.self) { try CacheFolder.make("/proc/martlet") }
  }

  @Test func oneHolderLocksAFolder() throws {
    let folder = try Folder()
    do {
      let first = try #require(try FolderLock.tryTaking(folder.path))
      #expect(try FolderLock.tryTaking(folder.path) == nil)
      withExtendedLifetime(first) {}
    }
    #expect(try FolderLock.tryTaking(folder.path) != nil)
    do {
      let shared = try #require(try FolderLock.tryTaking(folder.path, shared: true))
      #expect(try FolderLock.tryTaking(folder.path, shared: true) != nil)
      #expect(try FolderLock.tryTaking(folder.path) == nil)
      withExtendedLifetime(shared) {}
    }
    #expect(try FolderLock.tryTaking(folder.path) != nil)
  }

  @Test func memoryInAFileHoldsWhatIsWritten() throws {
    let folder = try Folder()
    let file = try MemoryFile(path: folder.path, byteCount: 40_000)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty, "no name")
    let first = try file.block(byteCount: 5_000)
    let second = try file.block(byteCount: 20_000)
    first.withBytes { bytes in
      #expect(bytes.allSatisfy { $0 == 0 })
      for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index) }
    }
    second.withBytes { $0[19_999] = 7 }
    #expect(throws: KernelError.self) { try file.block(byteCount: 20_000) }
    file.expectRandomReads(true)
    file.evict()
    first.withBytes { bytes in
      file.cool(UnsafeRawBufferPointer(bytes))
      file.prefetch(UnsafeRawBufferPointer(bytes))
      #expect(bytes.indices.allSatisfy { bytes[$0] == UInt8(truncatingIfNeeded: $0) })
    }
    #expect(second.withBytes { $0[19_999] == 7 && $0[0] == 0 })
    #expect(file.residentBytes > 0)

    // A name of one's own, which is gone at once.
    let path = folder.path + "/pages"
    _ = try MemoryFile(path: path, byteCount: 4096)
    #expect(!FileManager.default.fileExists(atPath: path))
    try Data([1]).write(to: URL(fileURLWithPath: path))
    for (bad, bytes, word) in [
      (path, 4096, "exists"), (folder.path + "/none/x", 4096, "none"),
      (folder.path, 1 << 60, "reserve"), (folder.path, 0, "bytes"),
    ] {
      #expect {
        try MemoryFile(path: bad, byteCount: bytes)
      } throws: { error in
        "\((error as? MachineError)?.message ?? "")".contains(word)
      }
    }
  }

  @Test func theStandardFolderFollowsTheEnvironment() {
    #expect(
      CacheFolder.standard(environment: ["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/martlet")
    #expect(
      CacheFolder.standard(environment: ["XDG_CACHE_HOME": "x", "HOME": "/h"])
        == "/h/.cache/martlet")
    #expect(CacheFolder.standard(environment: [:]) == nil)
  }

  @Test func filesThatOthersMayWriteAreNotBelieved() throws {
    let folder = try Folder()
    let path = folder.path + "/kept"
    try AtomicFile.write(Data("x".utf8), to: path)
    #expect(CacheFolder.distrust(path) == nil)
    chmod(path, 0o620)
    #expect(CacheFolder.distrust(path) != nil)
    chmod(path, 0o600)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/link", withDestinationPath: path)
    #expect(CacheFolder.distrust(folder.path + "/link") != nil)
  }

  @Test func lentBytesKeepTheMappingAlive() throws {
    let folder = try Folder()
    let path = folder.path + "/kept"
    try AtomicFile.write(Data((0..<200).map { UInt8($0) }), to: path)
    var file: MappedFile? = try MappedFile(path: path)
    let memory = try #require(try file?.lend(64..<128))
    #expect(throws: MachineError.self) { try file?.lend(63..<128) }
    #expect(throws: MachineError.self) { try file?.lend(64..<201) }
    file = nil
    #expect(memory.withBytes { $0[3] } == 67)
  }

  private final class Folder {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("martlet-cache-\(UUID().uuidString)").path

    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }
}
