import CMartlet
import Logging
import Synchronization

/// What a `martlet_run` handle stands for: one component instance in one run.
final class ComponentScope: Sendable {
  /// The run; nil for a scorer or extractor that is used on its own.
  let run: PluginRun?
  let kind: ComponentKind
  let id: String
  let options: ResolvedOptions
  let logger: Logger
  private let explanation = Mutex("")

  init(
    run: PluginRun?, kind: ComponentKind, id: String, options: ResolvedOptions, logger: Logger
  ) {
    self.run = run
    self.kind = kind
    self.id = id
    self.options = options
    self.logger = logger
  }

  /// Notes why the component is about to fail.
  func explain(_ text: String) { explanation.withLock { $0 = text } }

  /// What the component said about its failure, and forgets it.
  func takeExplanation() -> String {
    explanation.withLock { text in
      defer { text = "" }
      return text
    }
  }

  /// The failure of a component's function as a sentence.
  func failure(_ call: String, _ status: martlet_status) -> String {
    let reason = takeExplanation()
    return "\(kind) '\(id)' failed in \(call): \(reason.isEmpty ? statusName(status) : reason)"
  }
}

/// A status in words for messages.
func statusName(_ status: martlet_status) -> String {
  switch status {
  case MARTLET_OK: "ok"
  case MARTLET_E_ARGUMENT: "invalid argument"
  case MARTLET_E_UNSUPPORTED: "unsupported"
  case MARTLET_E_MEMORY: "out of memory"
  case MARTLET_E_HANDLE: "invalid handle"
  case MARTLET_E_BUDGET: "budget ended"
  case MARTLET_E_CANCELLED: "cancelled"
  case MARTLET_E_TOO_SMALL: "buffer too small"
  case MARTLET_E_STATE: "not allowed now"
  case MARTLET_E_CONTEXT: "context full"
  case MARTLET_E_NOT_FOUND: "not found"
  case MARTLET_E_PLUGIN: "plugin failure"
  case MARTLET_E_INTERNAL: "internal failure"
  default: "status \(status.rawValue)"
  }
}
