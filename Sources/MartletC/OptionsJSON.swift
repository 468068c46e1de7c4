import CMartlet
import Foundation
import Martlet
import MartletScaling

/// Options that a caller gives as a JSON object. Every name must be read before ``finish()``.
struct OptionsJSON {
  var fields: FieldReader

  /// - Parameters:
  ///   - text: NUL-terminated; null for no options.
  ///   - what: names the object in messages.
  init(_ text: UnsafePointer<CChar>?, what: String) throws {
    var value = JSONValue.object([:])
    if let text {
      guard let text = String(validatingCString: text) else {
        throw Failure(MARTLET_E_ARGUMENT, "\(what): the text is not UTF-8")
      }
      do {
        value = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
      } catch {
        throw Failure(MARTLET_E_ARGUMENT, "\(what): this is not JSON: \(Self.reason(error))")
      }
    }
    fields = try FieldReader(value, file: what)
  }

  /// Fails when a name was not asked for.
  func finish() throws { try fields.finish() }

  /// A text that one of a closed list of values is read from.
  mutating func choice<Value>(
    _ field: String, _ read: (String) -> Value?, known: [String]
  ) throws -> Value? {
    guard let text = try fields.optionalText(field) else { return nil }
    guard let value = read(text) else {
      throw fields.failure(
        field, "is '\(text)', which is none of \(known.joined(separator: ", "))")
    }
    return value
  }

  private static func reason(_ error: any Error) -> String {
    guard case DecodingError.dataCorrupted(let context)? = error as? DecodingError else {
      return "\(error)"
    }
    let detail = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey]
    return detail.map { "\($0)" } ?? context.debugDescription
  }
}

extension Session.Configuration {
  /// What `martlet_engine_options` asks for.
  init(model: String?, options: UnsafePointer<CChar>?) throws {
    self.init(modelPath: model)
    var json = try OptionsJSON(options, what: "engine options")
    placement.order =
      try json.choice(
        "placement", { PlacementOptions.Order($0) },
        known: ["auto", "compact", "spread", "nodes=…"])
      ?? .auto
    placement.memory =
      try json.choice(
        "numa", PlacementOptions.Memory.init(rawValue:),
        known: PlacementOptions.Memory.allCases.map(\.rawValue)) ?? .shard
    threads = try json.fields.optionalInteger(
      "threads", in: 1...Int64(PlacementPlan.maximumThreads)
    ).map { Int($0) }
    numericClass =
      try json.choice(
        "numeric", NumericClass.init(rawValue:), known: NumericClass.allCases.map(\.rawValue))
      ?? .portable
    backend.kvType = try json.choice(
      "kv-type", KVType.init(rawValue:), known: KVType.allCases.map(\.rawValue))
    if let attention = try json.fields.optionalText("attention") {
      backend.attention = try AttentionMethod.parse(attention)
    }
    if let cache = try json.fields.optionalText("pack-cache") {
      if cache.isEmpty {
        throw json.fields.failure("pack-cache", "is empty; give a folder, 'beside' or 'off'")
      }
      packCache = PackCacheOptions(parsing: cache)
    }
    prefillChunk = try json.fields.optionalInteger(
      "prefill-chunk", in: 1...Int64(backend.maximumBatchTokens)
    ).map { Int($0) }
    if let bytes = try json.fields.optionalInteger("kv-bytes", in: 1...Int64.max) {
      engine.kvBytesLimit = Int(bytes)
    }
    engine.contextLength = try json.fields.optionalInteger("context", in: 1...Int64(Int32.max))
      .map { Int($0) }
    kvFile = try json.fields.optionalText("kv-file")
    if let folder = try json.fields.optionalText("prefix-store") {
      guard let path = folder == "standard" ? PrefixFolder.standardPath : folder, !path.isEmpty
      else {
        throw json.fields.failure(
          "prefix-store",
          folder.isEmpty
            ? "is empty; give a folder or 'standard'"
            : "is 'standard', and neither XDG_CACHE_HOME nor HOME names a folder")
      }
      engine.prefixes = PrefixStoreOptions(folder: path)
    }
    let isIsolated = try json.fields.flag("isolate")
    let isUnconfined = try json.fields.flag("unconfined")
    if isUnconfined, !isIsolated {
      throw json.fields.failure("unconfined", "does nothing without 'isolate'; add it")
    }
    if isIsolated {
      var plugins = PluginIsolation()
      plugins.allowsUnconfined = isUnconfined
      isolation = plugins
    }
    tuning = try json.fields.flag("no-tuning") ? .off : .quick
    pluginDirectories = try json.pluginDirectories()
    try json.finish()
  }
}

extension OptionsJSON {
  /// The folders named, which are there.
  mutating func pluginDirectories() throws -> [String] {
    let directories = try fields.textOrTexts("plugin-dir")
    for directory in directories {
      var isFolder: ObjCBool = false
      let exists = FileManager.default.fileExists(atPath: directory, isDirectory: &isFolder)
      if !exists || !isFolder.boolValue {
        throw Failure(
          MARTLET_E_FILE,
          "plugin-dir '\(directory)': "
            + (exists ? "is a file; name the folder it is in" : "there is no such folder"))
      }
    }
    return directories
  }
}
