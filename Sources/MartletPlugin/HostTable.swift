import CMartlet

/// The host's function table and one run handle: every call to the host goes through here.
///
/// Unsafe pointers are the plugin interface itself. The host keeps the table for the life of the
/// process and the handle until the component's `destroy` returns; this type never outlives either
/// because only component instances hold it. Functions that are missing from a table give
/// `unsupported` instead of a trap.
struct HostTable: @unchecked Sendable {
  // Sendable: the table is immutable and the handle a number; which thread may call what is the
  // concern of the types above.
  let host: UnsafePointer<martlet_host>
  let run: martlet_run

  /// Turns a status into a throw, with the host's message for it.
  func check(_ status: martlet_status?, _ call: StaticString) throws(PluginError) {
    guard let status else {
      throw PluginError(.unsupported, "\(call): this host's table lacks the function")
    }
    if status == MARTLET_OK { return }
    let detail = lastError()
    throw PluginError(
      PluginError.Code(status), detail.isEmpty ? "\(call): status \(status.rawValue)" : detail)
  }

  /// Reads variable-length output by asking for its length first. The length may grow between two
  /// calls while a branch advances, hence the loop.
  func read<Element>(
    _ call: StaticString, _ zero: Element,
    _ body: (UnsafeMutablePointer<Element>?, Int, UnsafeMutablePointer<Int>) -> martlet_status?
  ) throws(PluginError) -> [Element] {
    var capacity = 0
    while true {
      var buffer = [Element](repeating: zero, count: capacity)
      var needed = 0
      let status = buffer.withUnsafeMutableBufferPointer { body($0.baseAddress, capacity, &needed) }
      if status == MARTLET_E_TOO_SMALL, needed > capacity {
        capacity = needed
        continue
      }
      try check(status, call)
      // A null buffer of capacity 0 fits only an empty result.
      buffer.removeLast(max(0, buffer.count - needed))
      return buffer
    }
  }

  func readText(
    _ call: StaticString,
    _ body: (UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>) -> martlet_status?
  ) throws(PluginError) -> String {
    let bytes = try read(call, CChar(0), body)
    return String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func explain(_ message: String) {
    var message = message
    message.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { characters in
        // A failed explanation leaves the status to speak for itself.
        _ = host.pointee.explain?(run, characters.baseAddress, characters.count)
      }
    }
  }

  private func lastError() -> String {
    var capacity = 256
    while true {
      var buffer = [CChar](repeating: 0, count: capacity)
      var needed = 0
      let status = host.pointee.last_error?(&buffer, capacity, &needed)
      if status == MARTLET_E_TOO_SMALL, needed > capacity {
        capacity = needed
        continue
      }
      guard status == MARTLET_OK else { return "" }
      return String(decoding: buffer.prefix(needed).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}

extension String {
  /// Lends the text as C characters with a length.
  func withCharacters<Result>(_ body: (UnsafePointer<CChar>?, Int) -> Result) -> Result {
    var copy = self
    return copy.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { body($0.baseAddress, $0.count) }
    }
  }
}
