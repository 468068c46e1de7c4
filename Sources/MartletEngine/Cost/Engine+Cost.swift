import Foundation
import Logging
import MartletMachine

/// How many branches are nearly free here.
extension Engine {
  /// What a step costs by its width on this engine. The first call measures it, between passes of
  /// whatever runs, or reads an earlier measurement from the engine's tuning folder; it blocks for
  /// well under a second for small models and some twenty steps for large ones. Later calls return
  /// at once. Never changes a text.
  ///
  /// Not for use inside an ``EngineObserver``, which runs on the thread that would measure: there it
  /// gives the assumed curve until somebody else has asked.
  public var costCurve: CostCurve {
    let curve = costs.curve(core)
    if curve.origin != .assumed, !core.isDriverThread { core.setRowCost(curve) }
    return curve
  }

  /// Forgets the curve, also the one that is kept: the next question measures.
  public func remeasureCost() { costs.forget() }

  /// The time of a step that decodes `width` branches relative to a step of one; see ``CostCurve``.
  public func widthCost(_ width: Int) -> Double { costCurve.cost(width) }

  /// The largest width whose step costs at most ``CostCurve/kneeFactor`` (2) times a step of width 1;
  /// at most the tokens of one pass. Branches up to it are nearly free.
  public var kneeWidth: Int { costCurve.knee(limit: core.maximumBatch) }
}

/// Keeps the cost curve of an engine once it is known.
final class CostKeeper: @unchecked Sendable {
  // @unchecked: both variables are guarded by `lock`, which is held while measuring.
  private let lock = NSLock()
  private var known: CostCurve?
  private var mustMeasure = false
  private let store: TuningStore?
  private let logger = Logger(label: "martlet.engine")

  init(folder: String?) { store = folder.map { TuningStore(path: $0) } }

  func curve(_ core: EngineCore) -> CostCurve {
    if core.isDriverThread {
      guard lock.try() else { return .assumed }
      defer { lock.unlock() }
      return known ?? .assumed
    }
    lock.lock()
    defer { lock.unlock() }
    if let known { return known }
    let curve = find(core)
    // A failure may pass; ask again next time.
    if curve.origin != .assumed {
      known = curve
      mustMeasure = false
    }
    return curve
  }

  /// The curve if no measuring is needed for it.
  func known(_ core: EngineCore) -> CostCurve? {
    guard lock.try() else { return nil }
    defer { lock.unlock() }
    if known == nil, !mustMeasure { known = read(core) }
    return known
  }

  /// Makes the next call measure.
  func forget() {
    lock.lock()
    defer { lock.unlock() }
    known = nil
    mustMeasure = true
  }

  /// The layers that an earlier search found.
  func keptDraftLayers(_ backend: TransformerBackend) -> [Int]? {
    guard let identity = backend.costIdentity,
      let layers = store?.record(identity)?.draftLayers, !layers.isEmpty,
      layers.allSatisfy(backend.layers.indices.contains),
      zip(layers, layers.dropFirst()).allSatisfy({ $0 < $1 })
    else { return nil }
    return layers
  }

  func keep(draftLayers: [Int], _ backend: TransformerBackend) {
    guard let store, let identity = backend.costIdentity else { return }
    var record = store.record(identity) ?? TuningRecord(identity: identity)
    record.draftLayers = draftLayers
    do throws(MachineError) {
      try store.keep(record)
    } catch {
      logger.info("the layers that draft best are not kept: \(error.message)")
    }
  }

  private func find(_ core: EngineCore) -> CostCurve {
    let backend = core.backend
    if !mustMeasure, let curve = read(core) { return curve }
    let widths = CostCurve.measuredWidths.filter { $0 <= core.maximumBatch }
    if let stated = stated(backend, widths) { return stated }
    let identity = backend.costIdentity
    let load = OtherLoad()
    let curve: CostCurve
    do throws(EngineError) {
      curve = try core.measureCost(widths) ?? .assumed
    } catch {
      logger.warning("what a step costs could not be measured: \(error.message)")
      return .assumed
    }
    if let identity, let store, curve.origin == .measured {
      guard load.isQuiet else {
        logger.info("other processes ran while the cost of steps was measured; it is not kept")
        return curve
      }
      var record = store.record(identity) ?? TuningRecord(identity: identity)
      record.curve = curve
      do throws(MachineError) {
        try store.keep(record)
      } catch {
        logger.info("the cost of steps is not kept: \(error.message)")
      }
    }
    return curve
  }

  /// A curve that the backend states or that was kept.
  private func read(_ core: EngineCore) -> CostCurve? {
    let widths = CostCurve.measuredWidths.filter { $0 <= core.maximumBatch }
    if let stated = stated(core.backend, widths) { return stated }
    guard let identity = core.backend.costIdentity, let kept = store?.record(identity)?.curve
    else { return nil }
    return CostCurve(points: kept.points, origin: .cached)
  }

  private func stated(_ backend: any Backend, _ widths: [Int]) -> CostCurve? {
    let points = widths.compactMap { width in
      backend.statedStepSeconds(width: width).map { CostCurve.Point(width: width, seconds: $0) }
    }
    return points.count == widths.count ? CostCurve(points: points, origin: .stated) : nil
  }
}

extension EngineCore {
  /// Seconds that measuring may take beyond its first rounds.
  private static let measuringSeconds = 0.15

  /// Whether the calling thread is the one that runs passes.
  var isDriverThread: Bool { locked { () throws(Never) in Thread.current === driver } }

  /// Times steps on the driver thread, over pages that no run holds meanwhile. nil when there is not
  /// a single page for it.
  func measureCost(_ widths: [Int]) throws(EngineError) -> CostCurve? {
    let result = onDriver { () -> Result<CostCurve?, EngineError> in
      let pages = self.locked { () throws(Never) in self.pool.takeScratch(widths.last ?? 1) }
      defer { self.locked { () throws(Never) in self.pool.returnScratch(pages) } }
      do throws(EngineError) {
        let timer = StepTimer(backend: self.backend, pages: pages)
        return .success(try timer.curve(widths, seconds: Self.measuringSeconds))
      } catch {
        return .failure(error)
      }
    }
    guard let result else { throw EngineError(.cancelled, "the engine was shut down") }
    return try result.get()
  }
}
