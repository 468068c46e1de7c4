import Foundation
import MartletKernels
import MartletMachine

/// A pack file, mapped. Opening checks everything but the matrices' bytes, which `verify` does.
struct PackFile {
  let index: PackCacheIndex
  private let file: MappedFile
  private let entries: [String: PackCacheIndex.Entry]

  /// Why a pack file cannot be used.
  struct Damage: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
  }

  init(path: String) throws(Damage) {
    do throws(MachineError) {
      file = try MappedFile(path: path)
      index = try Self.index(of: file).get()
    } catch {
      throw Damage(error.message)
    }
    entries = Dictionary(index.entries.map { ($0.name, $0) }) { first, _ in first }
  }

  private static func index(
    of file: MappedFile
  ) throws(MachineError) -> Result<PackCacheIndex, MachineError> {
    func damaged(_ what: String) -> Result<PackCacheIndex, MachineError> {
      .failure(MachineError(.file, what))
    }
    guard file.count >= PackCachePrelude.byteCount,
      let prelude = PackCachePrelude(try file.bytes(in: 0..<PackCachePrelude.byteCount))
    else { return damaged("its header is damaged") }
    guard prelude.fileBytes == file.count else {
      return damaged("it has \(file.count) bytes, but its header says \(prelude.fileBytes)")
    }
    let bytes = try file.bytes(in: prelude.indexOffset..<prelude.fileBytes)
    guard bytes.withUnsafeBytes({ Checksum.xxh64($0) }) == prelude.indexChecksum,
      let index = try? JSONDecoder().decode(PackCacheIndex.self, from: Data(bytes)),
      index.format == PackCacheIndex.currentFormat
    else { return damaged("its index is damaged") }
    return .success(index)
  }

  /// The packed weights of every one of `matrices`, after a check of each one's checksum.
  ///
  /// Reads all of them, which is also what brings them into memory, on all of the team's workers.
  func weights(
    of matrices: [PlannedMatrix], team: (any ParallelFor)?
  ) throws(Damage) -> [String: PackedWeights] {
    file.prefetch(0..<file.count)
    var result: [String: PackedWeights] = [:]
    for matrix in matrices {
      let (name, shape) = (matrix.tensor.name, matrix.shape)
      guard let entry = entries[name], entry.type == shape.type.rawValue,
        entry.outputs == shape.outputs, entry.depth == shape.depth,
        entry.bytes == shape.packedBytes, entry.offset >= 0, entry.offset <= file.count,
        entry.bytes <= file.count - entry.offset
      else { throw Damage("it does not hold tensor '\(name)' as the model has it") }
      let weights: PackedWeights
      do {
        weights = try PackedWeights(
          shape: shape, memory: file.lend(entry.offset..<entry.offset + entry.bytes))
      } catch {
        throw Damage("tensor '\(name)': \(error)")
      }
      guard hexadecimal(weights.checksum(team: team)) == entry.checksum else {
        throw Damage("the checksum of tensor '\(name)' is wrong")
      }
      result[name] = weights
    }
    return result
  }

  /// Whether the model file's matrices have the bytes that this was packed from. Reads all of them.
  func isPacked(
    from model: GGUFFile, _ matrices: [PlannedMatrix], team: (any ParallelFor)?
  ) throws(ModelError) -> Bool {
    matrices.first.map { model.prefetchPages(of: $0.tensor) }
    for (place, matrix) in matrices.enumerated() {
      if place + 1 < matrices.count { model.prefetchPages(of: matrices[place + 1].tensor) }
      try model.verifyUnchanged()
      let sum = try matrix.sourceChecksum(in: model, team: team)
      guard entries[matrix.tensor.name]?.sourceChecksum == hexadecimal(sum) else { return false }
    }
    return true
  }
}

/// A matrix of the model that will be packed.
struct PlannedMatrix {
  let tensor: TensorInfo
  let shape: PackedShape

  /// Checksum of its bytes in the file, whose pages are given back on the way.
  func sourceChecksum(
    in file: GGUFFile, team: (any ParallelFor)?
  ) throws(ModelError) -> UInt64 {
    do {
      let sum = try file.withTensorBytes(tensor) { (bytes) throws(KernelError) in
        try shape.sourceChecksum(bytes, team: team) { file.releasePages(of: tensor, $0) }
      }
      file.releasePages(of: tensor)
      return sum
    } catch {
      throw ModelError(.shape, "\(file.path): tensor '\(tensor.name)': \(error)")
    }
  }
}
