import Foundation
import MartletKernels
import MartletMachine
import MartletModel

/// What an engine remembers of everything it generated, for ``Drafting/Source/trie``.
///
/// At most ``EngineConfiguration/draftMemoryBytes``; the oldest goes first.
extension Engine {
  /// Forgets all text that was generated with drafting on, and how often guesses from it came true.
  /// Runs in progress go on and fill the memory anew.
  public func forgetGenerated() { core.setGenerated(nil) }

  /// Writes what is remembered to a file, which appears whole or not at all, readable by its owner
  /// alone. Generated text can be read out of it. Takes some 100 ms at most; decoding goes on.
  ///
  /// Throws ``EngineError/Code/file`` naming the file and the reason.
  public func saveGenerated(to path: String) throws(EngineError) {
    let bytes = DraftMemoryFile.bytes(
      of: core.generatedSnapshot(), vocabulary: core.vocabularyFingerprint)
    do throws(MachineError) {
      try AtomicFile.write(Data(bytes), to: path)
    } catch {
      throw EngineError(.file, "the draft memory: \(error.message)")
    }
  }

  /// Remembers what a file holds, in place of what was generated so far.
  ///
  /// Throws ``EngineError/Code/file`` when it cannot be read and ``EngineError/Code/data`` when it is
  /// damaged, of another version or of another tokenizer, with the file and the reason; then nothing
  /// has changed. Whatever a file holds, no text depends on it.
  public func loadGenerated(from path: String) throws(EngineError) {
    let bytes = try Self.bytes(of: path)
    do throws(DraftMemoryFile.Damage) {
      core.setGenerated(
        try DraftMemoryFile.memory(
          bytes, vocabulary: core.vocabularyFingerprint,
          vocabularySize: core.backend.vocabularySize, limit: core.draftMemoryLimit))
    } catch {
      throw EngineError(
        .data, "\(path): \(error.reason); delete it, or name the file of this model")
    }
  }

  /// A regular file of a size that a memory can have.
  private static func bytes(of path: String) throws(EngineError) -> [UInt8] {
    func failure(_ reason: String) -> EngineError {
      EngineError(.file, "cannot read the draft memory \(path): \(reason)")
    }
    var information = stat()
    guard stat(path, &information) == 0 else { throw failure(String(cString: strerror(errno))) }
    guard information.st_mode & S_IFMT == S_IFREG else { throw failure("it is no regular file") }
    guard information.st_size <= 1 << 32 else {
      throw EngineError(
        .data, "\(path): \(information.st_size) bytes are more than a draft memory has")
    }
    do {
      return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
      throw failure(error.localizedDescription)
    }
  }
}

extension EngineCore {
  /// Entries of one of the two generations of the memory: the power of two that the configured bytes
  /// allow.
  var draftMemoryLimit: Int {
    let entries = configuration.draftMemoryBytes / (2 * ContinuationIndex.entryBytes)
    return 1 << (Int.bitWidth - 1 - entries.leadingZeroBitCount)
  }

  func makeGenerated() -> DraftMemory {
    DraftMemory(calibration(of: .trie), limit: draftMemoryLimit)
  }

  /// On any thread, without the lock; nil for an empty memory.
  func setGenerated(_ memory: DraftMemory?) {
    locked { () throws(Never) in
      draftCalibrations[.trie] = memory?.calibration
      // A run that is in progress finds an empty one to go on with.
      generated = memory ?? (generated == nil ? nil : makeGenerated())
    }
  }

  /// A copy that shares storage until a token is remembered, but for its rates.
  func generatedSnapshot() -> DraftMemory {
    locked { () throws(Never) in (generated ?? makeGenerated()).detached() }
  }

  /// Tells vocabularies apart: by the bytes of every token, in order.
  var vocabularyFingerprint: UInt64 {
    let size = backend.vocabularySize
    var bytes: [UInt8] = []
    for token in 0..<min(size, codec.vocabularySize) {
      let text = codec.bytes(of: Token(token), renderSpecial: true)
      bytes.append(littleEndian: UInt32(text.count))
      bytes += text
    }
    return bytes.withUnsafeBytes { Checksum.xxh64($0) } ^ UInt64(size)
  }
}
