import CMartlet
import Foundation
public import Logging
public import MartletEngine

/// A sampler that comes from a plugin, for one run.
public final class PluginSampler: LogitsProcessor {
  /// The most processor time that a row may take, seconds. Processor time, so that a busy machine does
  /// not decide what becomes of a run.
  private static let limit = 0.1

  public let name: String
  private let instance: TextInstance

  /// Loads the sampler of that id.
  /// - Throws: `notFound`, `refused`, `option`, or `plugin` when it fails to begin.
  public convenience init(
    _ id: String, options: [String: String] = [:], plugins: PluginHost,
    logger: Logger = Logger(label: "martlet.sampler")
  ) throws(ScalingError) {
    try self.init(plugins.choose(.sampler, id, options: options), logger: logger)
  }

  init(_ chosen: ChosenComponent, logger: Logger) throws(ScalingError) {
    name = "sampler '\(chosen.component.id)'"
    let functions = chosen.component.functions.load(as: martlet_sampler.self)
    do throws(HostFailure) {
      instance = try TextInstance(
        chosen.component, create: functions.create, destroy: functions.destroy,
        options: chosen.options, run: nil, logger: logger)
    } catch {
      throw ScalingError(.plugin, error.message)
    }
  }

  deinit { instance.end() }

  public func process(_ row: inout [Float], for choice: LogitsChoice) throws(EngineError) {
    let functions = instance.component.functions.load(as: martlet_sampler.self)
    let began = Self.processorSeconds
    let status = choice.tokens.withUnsafeBufferPointer { tokens in
      var view = martlet_sampling_choice(
        size: UInt32(MemoryLayout<martlet_sampling_choice>.size),
        generated_tokens: UInt32(clamping: choice.generatedTokens), tokens: tokens.baseAddress,
        token_count: tokens.count, noise: choice.noise)
      return row.withUnsafeMutableBufferPointer { row in
        instance.call { functions.process($0, &view, row.baseAddress, row.count) }
      }
    }
    do throws(HostFailure) {
      try instance.check(status, "process")
    } catch {
      throw EngineError(.backend, error.message)
    }
    let seconds = Self.processorSeconds - began
    guard seconds <= Self.limit else {
      throw EngineError(
        .backend,
        "\(name) took \(seconds) s of processor time for one row, where nobody decodes meanwhile; "
          + "\(Self.limit) s is the most")
    }
  }

  /// Of this thread.
  private static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
