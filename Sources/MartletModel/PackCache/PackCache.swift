import Foundation
import Logging
import MartletKernels
import MartletMachine

/// The pack cache as one opening of one model sees it: first it is asked for the packed weights,
/// and where it has none it is given them.
///
/// Nothing here makes opening fail: whatever is wrong with the cache, the weights are packed.
struct PackCache {
  let folder: PackCacheFolder
  let key: PackCacheKey
  let matrices: [PlannedMatrix]
  let file: GGUFFile
  let team: (any ParallelFor)?
  let logger: Logger

  /// nil where there is no cache to ask, with the reason in `report`.
  init?(
    _ options: PackCacheOptions, _ file: GGUFFile, _ plan: TensorPlan, fingerprint: String,
    _ numericClass: NumericClass, team: (any ParallelFor)?, logger: Logger,
    report: inout OpeningReport
  ) {
    guard options.location != .off else { return nil }
    guard let path = options.folder(forModel: file.path) else {
      report.cache = .unavailable
      report.note = "neither XDG_CACHE_HOME nor HOME names a folder"
      logger.info("no pack cache: neither XDG_CACHE_HOME nor HOME names a folder")
      return nil
    }
    do throws(KernelError) {
      matrices = try plan.matrices(numericClass)
      let types = Set(matrices.map(\.shape.type))
      key = try PackCacheKey(
        fingerprint: fingerprint, numericClass: numericClass, types: Array(types))
    } catch {
      // Packing will say what is wrong.
      return nil
    }
    guard matrices.reduce(0, { $0 + $1.shape.packedBytes }) >= options.smallestModel else {
      report.note = "the model is too small to be worth caching"
      return nil
    }
    folder = PackCacheFolder(path: path, byteLimit: options.byteLimit)
    self.file = file
    self.team = team
    self.logger = logger
    report.cachePath = folder.path(of: key)
  }

  /// Packed weights by tensor name, or nil with the reason in `report`.
  func lookUp(_ report: inout OpeningReport) throws(ModelError) -> [String: PackedWeights]? {
    let path = folder.path(of: key)
    guard FileManager.default.fileExists(atPath: path) else {
      report.cache = .miss
      return nil
    }
    if let reason = CacheFolder.distrust(path) {
      report.cache = .damaged
      report.note = "\(path) is not used: \(reason)"
      logger.warning("\(path) is not used: \(reason)")
      return nil
    }
    do throws(PackFile.Damage) {
      let pack = try PackFile(path: path)
      guard pack.index.key == key else { throw PackFile.Damage("it belongs to another model") }
      let weights = try pack.weights(of: matrices, team: team)
      guard try verify(pack, &report).get() else {
        report.cache = .stale
        logger.info("\(path) was packed from other weights than \(file.path) has; packing again")
        return nil
      }
      report.cache = .hit
      folder.touch(key)
      logger.info("packed weights of \(file.path) come from \(path)")
      return weights
    } catch {
      report.cache = .damaged
      report.note = "\(path) is damaged: \(error.reason)"
      logger.warning("\(path) is damaged: \(error.reason); packing again")
      return nil
    }
  }

  /// Whether the pack file was made from this very file, or from one with the same bytes.
  private func verify(
    _ pack: PackFile, _ report: inout OpeningReport
  ) -> Result<Bool, PackFile.Damage> {
    let identity = file.identity
    if folder.knows(identity, for: key) { return .success(true) }
    report.sourceVerified = true
    do throws(ModelError) {
      guard try pack.isPacked(from: file, matrices, team: team) else { return .success(false) }
    } catch {
      return .failure(PackFile.Damage(error.message))
    }
    folder.note(identity, for: key)
    return .success(true)
  }

  /// Takes the weights that are about to be packed.
  func writer(model: String) -> PackCacheWriter {
    PackCacheWriter(
      folder, PackCacheIndex(key: key, model: model, source: file.path), matrices)
  }
}
