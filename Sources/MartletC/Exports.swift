import CMartlet
import Foundation
import Martlet
import MartletScaling

// The functions of include/martlet/engine.h, where they are specified; the compiler checks each against
// its declaration there. Nothing here traps on what a caller passes.

@c @implementation public func martlet_engine_abi() -> UInt32 {
  UInt32(MARTLET_ENGINE_ABI_MAJOR) << 16 | UInt32(MARTLET_ENGINE_ABI_MINOR)
}

/// Lives as long as the process: a constant of the library.
nonisolated(unsafe) private let version = UnsafePointer(strdup(martletVersion)!)

@c @implementation public func martlet_version() -> UnsafePointer<CChar>! { version }

@c @implementation public func martlet_engine_open(
  _ options: UnsafePointer<martlet_engine_options>?,
  _ engine: UnsafeMutablePointer<martlet_engine?>?,
  _ error: TextSlot
) -> martlet_status {
  answering(error) {
    let engine = try required(engine, "engine")
    let options = try known(options, "martlet_engine_options", \.size)
    let (major, minor) = (UInt32(MARTLET_ENGINE_ABI_MAJOR), UInt32(MARTLET_ENGINE_ABI_MINOR))
    guard options.abi_major == major, options.abi_minor <= minor else {
      throw Failure(
        MARTLET_E_UNSUPPORTED,
        "the program was compiled for engine.h \(options.abi_major).\(options.abi_minor) and this "
          + "library serves \(major).0 to \(major).\(minor); compile it with this library's headers"
      )
    }
    _ = LogSink.isInstalled
    var progress: (@Sendable (Double) -> Void)?
    if let function = options.progress {
      let call = ProgressCall(function: function, context: options.context)
      progress = { call.function(call.context, $0) }
    }
    let configuration = try Session.Configuration(
      model: text(options.model, "model"), options: options.options)
    engine.pointee = engines.add(try OpenEngine(configuration, progress: progress))
  }
}

@c @implementation public func martlet_engine_close(_ engine: martlet_engine?) -> martlet_status {
  answering(nil) { try engines.remove(engine).close() }
}

@c @implementation public func martlet_engine_plugins(
  _ engine: martlet_engine?, _ json: TextSlot, _ error: TextSlot
) -> martlet_status {
  answering(error, outputs: json) {
    let json = try required(json, "json")
    json.pointee = try callersCopy(engines.object(engine).session.plugins.listingJSON())
  }
}

@c @implementation public func martlet_plugin_list(
  _ options: UnsafePointer<CChar>?, _ json: TextSlot, _ error: TextSlot
) -> martlet_status {
  answering(error, outputs: json) {
    let json = try required(json, "json")
    _ = LogSink.isInstalled
    var options = try OptionsJSON(options, what: "options")
    let host = PluginHost(searchPath: .standard(directories: try options.pluginDirectories()))
    try options.finish()
    json.pointee = try callersCopy(host.listingJSON())
  }
}

@c @implementation public func martlet_engine_run(
  _ engine: martlet_engine?, _ request: UnsafePointer<martlet_request>?, _ result: TextSlot,
  _ error: TextSlot
) -> martlet_status {
  answering(error, outputs: result) {
    let job = try start(engine, request)
    let text = try job.wait(until: nil)
    result?.pointee = try callersCopy(text)
  }
}

@c @implementation public func martlet_job_start(
  _ engine: martlet_engine?, _ request: UnsafePointer<martlet_request>?,
  _ job: UnsafeMutablePointer<martlet_job?>?, _ error: TextSlot
) -> martlet_status {
  answering(error) {
    let job = try required(job, "job")
    job.pointee = jobs.add(try start(engine, request))
  }
}

@c @implementation public func martlet_job_wait(
  _ job: martlet_job?, _ seconds: Double, _ result: TextSlot, _ error: TextSlot
) -> martlet_status {
  answering(error, outputs: result) {
    guard !seconds.isNaN else {
      throw Failure(MARTLET_E_ARGUMENT, "seconds is not a number; give -1 to wait without limit")
    }
    // Past a century a deadline is none.
    let deadline = seconds < 0 || seconds > 3e9 ? nil : Date(timeIntervalSinceNow: seconds)
    let text = try jobs.object(job).wait(until: deadline)
    result?.pointee = try callersCopy(text)
  }
}

@c @implementation public func martlet_job_cancel(_ job: martlet_job?) -> martlet_status {
  answering(nil) { try jobs.object(job).cancel() }
}

@c @implementation public func martlet_job_release(_ job: martlet_job?) -> martlet_status {
  answering(nil) { try jobs.remove(job).cancel() }
}

@c @implementation public func martlet_free(_ memory: UnsafeMutableRawPointer?) { free(memory) }

@c @implementation public func martlet_log_to(
  _ log: martlet_log?, _ context: UnsafeMutableRawPointer?, _ level: Int32
) {
  _ = LogSink.isInstalled
  LogSink.set(log, context, level)
}

/// A caller's progress callback.
private struct ProgressCall: @unchecked Sendable {
  // Sendable: called on the thread that opens, alone, as `Session.init` promises.
  let function: martlet_progress
  let context: UnsafeMutableRawPointer?
}

private func start(
  _ engine: martlet_engine?, _ request: UnsafePointer<martlet_request>?
) throws -> Job {
  let engine = try engines.object(engine)
  let request = try known(request, "martlet_request", \.size)
  let prompt = try text(request.prompt, length: request.prompt_length, "prompt")
  return try engine.start(
    RequestOptions(prompt: prompt, options: request.options),
    stream: request.stream.map { Stream(function: $0, context: request.context) })
}

/// A struct of the caller's, whose size is read before anything else of it.
private func known<Struct>(
  _ pointer: UnsafePointer<Struct>?, _ name: String, _ size: KeyPath<Struct, UInt32>
) throws -> Struct {
  guard let pointer else { throw Failure(MARTLET_E_ARGUMENT, "the \(name) is null") }
  // Size comes first in every struct, so its four bytes may be read alone.
  let stated = Int(UnsafeRawPointer(pointer).load(as: UInt32.self))
  guard stated == MemoryLayout<Struct>.size else {
    throw Failure(
      stated > MemoryLayout<Struct>.size ? MARTLET_E_UNSUPPORTED : MARTLET_E_ARGUMENT,
      "\(name) states size \(stated), but the struct has \(MemoryLayout<Struct>.size): set size to "
        + "sizeof(\(name)), and compile with this library's headers")
  }
  return pointer.pointee
}

private func required<Output>(
  _ pointer: UnsafeMutablePointer<Output>?, _ name: String
) throws -> UnsafeMutablePointer<Output> {
  guard let pointer else {
    throw Failure(MARTLET_E_ARGUMENT, "\(name) is null: there is nowhere to put the result")
  }
  return pointer
}

/// A NUL-terminated text of the caller's; nil for null.
private func text(_ characters: UnsafePointer<CChar>?, _ name: String) throws -> String? {
  guard let characters else { return nil }
  guard let text = String(validatingCString: characters) else {
    throw Failure(MARTLET_E_ARGUMENT, "the \(name) is not UTF-8")
  }
  return text
}

/// A text of a stated length.
private func text(
  _ characters: UnsafePointer<CChar>?, length: Int, _ name: String
) throws -> String {
  guard let characters else { throw Failure(MARTLET_E_ARGUMENT, "the \(name) is null") }
  // SIZE_MAX, which Swift imports as a length of -1.
  if length == -1 { return try text(characters, name) ?? "" }
  guard length >= 0 else {
    throw Failure(MARTLET_E_ARGUMENT, "the \(name) has \(UInt(bitPattern: length)) bytes")
  }
  let bytes = UnsafeBufferPointer(start: characters, count: length)
  guard let text = String(validating: bytes, as: UTF8.self) else {
    throw Failure(MARTLET_E_ARGUMENT, "the \(name) is not UTF-8")
  }
  return text
}
