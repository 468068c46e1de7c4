import Foundation
import Logging
import MartletKernels
import MartletMachine
import Synchronization

/// Writes a pack file while a model is packed.
///
/// A failure on the way (a full disk) gives the file up and is remembered; packing goes on. Used by
/// the thread that opens the model, until `finish` hands the rest to a thread of its own.
final class PackCacheWriter {
  /// Why there will be no file, or nil.
  private(set) var failure: String?
  private(set) var seconds = 0.0

  private let folder: PackCacheFolder
  private let path: String
  private var lock: FolderLock?
  private var file: AtomicFile?
  private var index: PackCacheIndex
  private var end = PackCacheWriter.page

  private static let page = 4096

  /// Starts a file in `folder` for `matrices`. Fails (with a reason in `failure`) where the folder
  /// cannot be written, another process writes to it, or there is no room.
  init(_ folder: PackCacheFolder, _ index: PackCacheIndex, _ matrices: [PlannedMatrix]) {
    self.folder = folder
    self.index = index
    path = folder.path(of: index.key)
    let room = matrices.reduce(Self.page) { $0 + Self.aligned($1.shape.packedBytes) }
    do throws(MachineError) {
      try CacheFolder.make(folder.path)
      lock = try FolderLock.tryTaking(folder.path)
      guard lock != nil else {
        failure = "another process is writing to \(folder.path)"
        return
      }
      AtomicFile.removeLeftovers(in: folder.path)
      if let reason = folder.refusal(ofBytes: room) {
        failure = reason
        return
      }
      file = try AtomicFile(path: path, expectedBytes: room)
    } catch {
      failure = error.message
    }
  }

  /// Adds a matrix that was packed with a source checksum.
  func add(_ matrix: PlannedMatrix, _ weights: PackedWeights, team: (any ParallelFor)?) {
    guard failure == nil, let file, let source = weights.sourceChecksum else { return }
    var watch = StopWatch()
    defer { seconds += watch.lap() }
    let result = weights.withPackedBytes { bytes in
      Result { () throws(MachineError) in try file.write(bytes, at: end) }
    }
    if case .failure(let error) = result { return giveUp(error.message) }
    index.entries.append(
      PackCacheIndex.Entry(
        name: matrix.tensor.name, type: matrix.shape.type.rawValue, outputs: matrix.shape.outputs,
        depth: matrix.shape.depth, offset: end, bytes: weights.byteCount,
        checksum: hexadecimal(weights.checksum(team: team)),
        sourceChecksum: hexadecimal(source)))
    end += Self.aligned(weights.byteCount)
  }

  func giveUp(_ reason: String) {
    failure = reason
    file = nil
    lock = nil
  }

  /// Writes the index and leaves it to a thread to make the file durable and give it its name.
  /// - Parameter source: the identity of the model file's parts, as they were when it was opened.
  func finish(source: [FileIdentity], logger: Logger) -> PendingPack? {
    guard failure == nil, let file, let lock else { return nil }
    var watch = StopWatch()
    defer { seconds += watch.lap() }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let total: Int
    do {
      let index = [UInt8](try encoder.encode(index))
      let prelude = PackCachePrelude(indexOffset: end, index: index)
      try index.withUnsafeBytes { try file.write($0, at: end) }
      try prelude.bytes.withUnsafeBytes { try file.write($0, at: 0) }
      total = prelude.fileBytes
    } catch {
      giveUp("\(error)")
      return nil
    }
    self.file = nil
    self.lock = nil
    let (folder, key, path) = (folder, index.key, path)
    return PendingPack {
      do throws(MachineError) {
        try file.commit(byteCount: total)
        folder.note(source, for: key)
        folder.evict(keeping: path, logger: logger)
        logger.info("packed weights are kept in \(path) (\(total) bytes)")
      } catch {
        logger.warning("packed weights are not kept: \(error.message)")
      }
      // At the end of all changes to the folder, and before anybody hears that they are done.
      lock.release()
    }
  }

  private static func aligned(_ bytes: Int) -> Int { (bytes + page - 1) / page * page }
}

/// A pack file that is being made durable on a thread of its own. Letting go of it waits for that,
/// so that a short program does not end before its cache is written.
final class PendingPack: Sendable {
  private let done = DispatchSemaphore(value: 0)

  init(_ work: @escaping @Sendable () -> Void) {
    let done = done
    let thread = Thread {
      work()
      done.signal()
    }
    thread.name = "martlet-cache"
    thread.start()
  }

  deinit { done.wait() }
}
