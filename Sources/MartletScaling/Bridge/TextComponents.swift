import CIsolation
import CMartlet
import Foundation
import Logging
import MartletEngine

/// A text to be judged or searched for an answer.
public struct JudgedText: Sendable, Equatable {
  /// What the user asked.
  public var prompt: String
  /// What was generated.
  public var text: String
  /// Untempered log-probabilities of the generated tokens, nats.
  public var logprobs: [Float]
  /// Whether the sequence ended by itself.
  public var isFinished: Bool

  /// A text and what is known of it.
  public init(prompt: String, text: String, logprobs: [Float] = [], isFinished: Bool = true) {
    self.prompt = prompt
    self.text = text
    self.logprobs = logprobs
    self.isFinished = isFinished
  }

  /// Lends the text in the form of the plugin interface.
  func withView<Result>(
    withLogprobs: Bool, _ body: (UnsafePointer<martlet_text_view>) -> Result
  ) -> Result {
    var (prompt, text) = (prompt, text)
    return prompt.withUTF8 { promptBytes in
      text.withUTF8 { textBytes in
        logprobs.withUnsafeBufferPointer { logprobs in
          var view = martlet_text_view()
          view.size = UInt32(MemoryLayout<martlet_text_view>.size)
          view.finished = isFinished ? 1 : 0
          view.prompt = UnsafeRawPointer(promptBytes.baseAddress)?.assumingMemoryBound(
            to: CChar.self)
          view.prompt_length = promptBytes.count
          view.text = UnsafeRawPointer(textBytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
          view.text_length = textBytes.count
          view.logprobs = withLogprobs ? logprobs.baseAddress : nil
          view.token_count = logprobs.count
          return body(&view)
        }
      }
    }
  }
}

/// An instance of a scorer in one run.
final class ScorerInstance: Sendable {
  private let instance: TextInstance
  /// For a scorer of branches: what it makes itself.
  private let own: PluginRun?
  private let scoreBranches: ScoreBranches?

  private typealias ScoreBranches =
    @convention(c) (
      UnsafeMutableRawPointer?, UnsafePointer<martlet_branch?>?, UInt32,
      UnsafeMutablePointer<Double>?
    ) -> martlet_status

  init(
    _ component: LoadedComponent, options: ResolvedOptions, run: PluginRun?, logger: Logger
  ) throws(HostFailure) {
    let functions = component.functions.load(as: martlet_scorer.self)
    scoreBranches = functions.score_branches
    own = scoreBranches == nil ? nil : run.map(PluginRun.init(ofScorerIn:))
    instance = try TextInstance(
      component, create: functions.create, destroy: functions.destroy, options: options,
      run: own ?? run, logger: logger)
  }

  var id: String { instance.scope.id }

  /// The scores of branches, by the scorer's own reading of them or by their texts.
  /// - Throws: as ``score(_:)``.
  func score(_ branches: [Branch], of run: PluginRun) throws(HostFailure) -> [Double] {
    guard let own, let scoreBranches else {
      var scores: [Double] = []
      for branch in branches { scores.append(try score(run.judged(branch))) }
      return scores
    }
    own.claimThread()
    defer { own.leaveThread() }
    var handles: [martlet_branch?] = []
    for branch in branches { handles.append(Handle.pointer(try own.handle(of: branch))) }
    defer { for handle in handles { own.forget(handle) } }
    var scores = [Double](repeating: .nan, count: branches.count)
    let status = instance.call { pointer in
      scoreBranches(pointer, handles, UInt32(handles.count), &scores)
    }
    if let error = own.engineFailure { run.noteEngine(error) }
    // The scorer passes on what ended the run; say so in the run's own words.
    if status == MARTLET_E_BUDGET, own.reachedKVCeiling { run.noteKVCeiling() }
    if status == MARTLET_E_BUDGET || status == MARTLET_E_CANCELLED { run.noteEnd() }
    try instance.check(status, "score_branches")
    if let bad = scores.first(where: { !$0.isFinite }) {
      throw HostFailure(MARTLET_E_PLUGIN, "scorer '\(id)' gave the score \(bad)")
    }
    return scores
  }

  /// The score of a text.
  /// - Throws: the scorer's own status, or `PLUGIN` for a score that is not finite.
  func score(_ text: JudgedText) throws(HostFailure) -> Double {
    let functions = instance.component.functions.load(as: martlet_scorer.self)
    var score = Double.nan
    let status = instance.call { pointer in
      text.withView(withLogprobs: true) { view in functions.score(pointer, view, &score) }
    }
    try instance.check(status, "score")
    guard score.isFinite else {
      throw HostFailure(MARTLET_E_PLUGIN, "scorer '\(id)' gave the score \(score)")
    }
    return score
  }
}

/// An instance of an extractor in one run.
final class ExtractorInstance: Sendable {
  /// Answers longer than this are a fault of the extractor.
  private static let longestAnswer = 1 << 20

  private let instance: TextInstance

  init(
    _ component: LoadedComponent, options: ResolvedOptions, run: PluginRun?, logger: Logger
  ) throws(HostFailure) {
    let functions = component.functions.load(as: martlet_extractor.self)
    instance = try TextInstance(
      component, create: functions.create, destroy: functions.destroy, options: options, run: run,
      logger: logger)
  }

  /// The answer in a text, or nil when there is none.
  func extract(_ text: JudgedText) throws(HostFailure) -> String? {
    let functions = instance.component.functions.load(as: martlet_extractor.self)
    var capacity = 256
    while true {
      var buffer = [CChar](repeating: 0, count: capacity)
      var needed = 0
      let status = instance.call { pointer in
        text.withView(withLogprobs: false) { view in
          functions.extract(pointer, view, &buffer, capacity, &needed)
        }
      }
      if status == MARTLET_E_NOT_FOUND { return nil }
      if status == MARTLET_E_TOO_SMALL, needed > capacity, needed <= Self.longestAnswer {
        capacity = needed
        continue
      }
      try instance.check(status, "extract")
      guard (0...capacity).contains(needed) else {
        throw HostFailure(
          MARTLET_E_PLUGIN, "extractor '\(instance.scope.id)' gave the length \(needed)")
      }
      return String(decoding: buffer.prefix(needed).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}

/// What scorers, extractors and drafters have in common: an instance pointer, its scope, its end.
final class TextInstance: @unchecked Sendable {
  // @unchecked: the instance pointer is opaque to the host; the plugin interface has the plugin
  // serve calls from any thread, or say SERIAL, which the lock then provides.
  typealias Create =
    @convention(c) (
      UnsafePointer<martlet_component>?, UnsafePointer<martlet_host>?, martlet_run?,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> martlet_status
  typealias Destroy = @convention(c) (UnsafeMutableRawPointer?) -> Void

  let component: LoadedComponent
  let scope: ComponentScope
  private let handle: UInt
  private let pointer: UnsafeMutableRawPointer?
  private let destroy: Destroy
  private let serial: NSLock?

  init(
    _ component: LoadedComponent, create: Create, destroy: @escaping Destroy,
    options: ResolvedOptions, run: PluginRun?, logger: Logger
  ) throws(HostFailure) {
    self.component = component
    self.destroy = destroy
    serial = component.isSerial ? NSLock() : nil
    scope = ComponentScope(
      run: run, kind: component.kind, id: component.id, options: options, logger: logger)
    handle = ScopeTable.insert(scope)
    var pointer: UnsafeMutableRawPointer?
    let status = create(component.descriptor, hostTable, Handle.pointer(handle), &pointer)
    self.pointer = pointer
    if status != MARTLET_OK {
      ScopeTable.remove(handle)
      throw HostFailure(status, scope.failure("create", status))
    }
  }

  /// Ends the instance. The owner calls it once, when no other call can be in progress.
  func end() {
    destroy(pointer)
    ScopeTable.remove(handle)
  }

  /// Whether its process, where it has one of its own, is gone: no call succeeds any more.
  var isDead: Bool { component.owner != nil && martlet_isolated_ended(pointer) != 0 }

  func call(_ body: (UnsafeMutableRawPointer?) -> martlet_status) -> martlet_status {
    serial?.lock()
    defer { serial?.unlock() }
    return body(pointer)
  }

  func check(_ status: martlet_status, _ name: String) throws(HostFailure) {
    if status == MARTLET_OK { return }
    throw HostFailure(status, scope.failure(name, status))
  }
}

extension ScorerInstance {
  /// Ends the instance; it is not used afterwards.
  func end() {
    instance.end()
    own?.close()
  }
}

extension PluginRun {
  /// What a scorer of branches makes, within a run.
  fileprivate convenience init(ofScorerIn run: PluginRun) {
    self.init(
      engineRun: run.engineRun, root: nil, prompt: run.prompt, ledger: run.ledger,
      judge: run.judge, trace: run.trace, kvBytesLimit: run.kvBytesLimit,
      surroundings: run.surroundings, depth: run.depth, abandonment: run.abandonment,
      payer: run.payer, onEnd: run.noteEnd)
  }
}

extension ExtractorInstance {
  /// Ends the instance; it is not used afterwards.
  func end() { instance.end() }
}
