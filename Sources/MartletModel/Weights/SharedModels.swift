import Logging
import MartletKernels
import MartletMachine
import Synchronization

extension TransformerModel {
  /// Opens `path` as `load` does, or gives the model that this process has open already: sessions of one
  /// file then share its weights.
  ///
  /// Shared is what has the same path, numeric class and pack cache, while whoever has it keeps it, and as
  /// long as the file is the one that was read. A model whose weights are placed on NUMA nodes is not: they
  /// lie for one team of threads. `opening` tells of the first opening.
  ///
  /// Two that open one file at the same time may both pack it; the weights of one are kept.
  /// - Throws: what `load` throws. Constant time for a model that is open.
  public static func shared(
    path: String, numericClass: NumericClass = .portable, team: (any ParallelFor)? = nil,
    placement: WeightPlacement? = nil, packCache: PackCacheOptions = .off,
    logger: Logger = Logger(label: "martlet.model"), progress: (@Sendable (Double) -> Void)? = nil
  ) throws(ModelError) -> TransformerModel {
    func load() throws(ModelError) -> TransformerModel {
      try .load(
        path: path, numericClass: numericClass, team: team, placement: placement,
        packCache: packCache, logger: logger, progress: progress)
    }
    guard placement == nil else { return try load() }
    let key = SharedModels.Key(path: path, numericClass: numericClass, packCache: "\(packCache)")
    if let known = SharedModels.find(key) {
      progress?(1)
      return known
    }
    return SharedModels.keep(try load(), as: key)
  }
}

/// The models that are open in this process. Nobody is kept alive by it.
private enum SharedModels {
  struct Key: Hashable {
    let path: String
    let numericClass: NumericClass
    let packCache: String
  }

  private struct Entry {
    weak var model: TransformerModel?
  }

  private static let entries = Mutex<[Key: Entry]>([:])

  static func find(_ key: Key) -> TransformerModel? {
    // Looked at without the lock: files may be far away.
    guard let model = entries.withLock({ $0[key]?.model }), model.isOfPresentFiles else {
      return nil
    }
    return model
  }

  /// Keeps a model, unless another thread was first with one of the same files.
  static func keep(_ model: TransformerModel, as key: Key) -> TransformerModel {
    entries.withLock { entries in
      if let first = entries[key]?.model, first.sources == model.sources { return first }
      entries = entries.filter { $0.value.model != nil }
      entries[key] = Entry(model: model)
      return model
    }
  }
}

extension TransformerModel {
  /// A file that a model was read from.
  struct Source: Sendable, Equatable {
    let path: String
    let identity: FileIdentity
  }

  /// Whether its files are still those that were read.
  fileprivate var isOfPresentFiles: Bool {
    sources.allSatisfy { (try? MappedFile(path: $0.path))?.identity == $0.identity }
  }
}
