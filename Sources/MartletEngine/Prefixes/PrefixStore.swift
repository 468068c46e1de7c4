import Logging
import MartletKernels
import MartletMachine
import MartletModel

/// What an engine keeps of prompts beyond runs, beside the pages in its pool. On the driver thread.
final class PrefixStore: @unchecked Sendable {
  // @unchecked: changed on the driver thread only.
  let backend: any PrefixSharing
  /// The most pages in memory.
  let mostPages: Int
  let folder: PrefixFolder?
  let logger = Logger(label: "martlet.prefixes")
  /// Files being written, the first one now.
  var writers: [PrefixWriter] = []
  /// What pages depend on besides tokens; known once a page of fixed tokens was computed.
  private var identity: String?

  /// nil where nothing can be kept.
  /// - Throws: `EngineError` `.argument` where a folder is asked for that cannot be used for this model,
  ///   `.file`.
  init?(
    _ options: PrefixStoreOptions, backend: any Backend, kvBytesLimit: Int
  ) throws(EngineError) {
    guard let backend = backend as? any PrefixSharing, backend.prefixIdentity != nil,
      backend.contextLength > backend.pageTokens
    else {
      guard options.folder == nil else {
        throw EngineError(
          .argument,
          "prompts of \(backend.name) cannot be kept: what its pages hold depends on more than their "
            + "tokens, as in numeric class openblas; leave the prefix store out")
      }
      return nil
    }
    let bytes = options.memoryBytes ?? kvBytesLimit / 4
    guard bytes >= 0, options.folderBytes >= 0 else {
      throw EngineError(
        .argument, "a prefix store of \(bytes) and \(options.folderBytes) bytes; give 0 or more")
    }
    self.backend = backend
    mostPages = bytes / max(1, backend.bytesPerPage)
    folder = options.folder.map { PrefixFolder(path: $0, byteLimit: options.folderBytes) }
    do throws(MachineError) {
      try folder?.open()
    } catch {
      throw EngineError(.file, "the prefix store: \(error.message)")
    }
  }

  /// What tells files of this model from others: what the backend says of itself, and what it makes of
  /// fixed tokens. So another version of a kernel that rounds otherwise, or other weights under the same
  /// name, do not meet these files. nil where it cannot be had.
  func identity(page: () -> PageID?) -> String? {
    if let identity { return identity }
    guard let page = page(), let stated = backend.prefixIdentity else { return nil }
    do throws(EngineError) {
      let tokens = (0..<backend.pageTokens).map { position in
        BatchToken(
          token: Token((position * 7919 + 13) % backend.vocabularySize), position: position,
          sequence: 0, wantsLogits: false)
      }
      for start in stride(from: 0, to: tokens.count, by: backend.maximumBatchTokens) {
        let end = min(tokens.count, start + backend.maximumBatchTokens)
        try backend.forward(
          ForwardBatch(tokens: Array(tokens[start..<end]), sequences: [[page]]),
          logits: LogitsBuffer(rows: 1, vocabulary: backend.vocabularySize))
      }
      let probe = try backend.pageBytes(page).withUnsafeBytes { Checksum.xxh64($0) }
      identity = "\(stated); \(backend.prefixPageBytes) bytes; probe \(String(probe, radix: 16))"
    } catch {
      logger.warning("prompts are not kept in \(folder?.path ?? "memory"): \(error.message)")
    }
    return identity
  }
}
