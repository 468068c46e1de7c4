import Foundation
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
