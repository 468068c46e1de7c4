import CMartlet
import Foundation

/// What a component is.
public enum ComponentKind: String, Sendable, CaseIterable {
  case strategy
  case scorer
  case extractor
  case drafter
  case sampler
  case memory

  /// The number of the kind in `plugin.h`.
  public var rawABIValue: UInt32 {
    switch self {
    case .strategy: MARTLET_KIND_STRATEGY.rawValue
    case .scorer: MARTLET_KIND_SCORER.rawValue
    case .extractor: MARTLET_KIND_EXTRACTOR.rawValue
    case .drafter: MARTLET_KIND_DRAFTER.rawValue
    case .sampler: MARTLET_KIND_SAMPLER.rawValue
    case .memory: MARTLET_KIND_MEMORY.rawValue
    }
  }
}

/// A property that a component claims and the conformance checker tests.
public enum ComponentClaim: String, Sendable, CaseIterable {
  /// Branches that it resamples go on, in expectation, in proportion to exp(score / temperature), with
  /// the option `temperature` if there is one, else 1.
  case resampling = "unbiased-resampling"
}

/// What a manifest says of one component.
public struct ComponentManifest: Sendable, Equatable {
  /// What it is.
  public let kind: ComponentKind
  /// Its id, unique among components of its kind.
  public let id: String
  /// One sentence for lists.
  public let summary: String
  /// The paper that describes the method; empty when there is none.
  public let paper: String
  /// What it claims of itself.
  public let claims: [ComponentClaim]
  /// The options that `--set` accepts.
  public let options: [OptionDeclaration]
  /// Scorers to use when the user names none: the first that exists and can judge the prompt.
  public let defaultScorers: [String]
  /// The extractor to use when the user names none.
  public let defaultExtractor: String?
}

/// What a plugin says of itself in the file `<name>.martlet-plugin.json`, read before its library
/// is loaded.
public struct PluginManifest: Sendable, Equatable {
  /// How manifest files end.
  public static let fileSuffix = ".martlet-plugin.json"
  /// The manifest format this host reads.
  public static let schema: Int64 = 1

  /// The plugin's id.
  public let id: String
  /// Its version.
  public let version: String
  /// The major version of the plugin interface it was built for.
  public let abiMajor: UInt32
  /// The minor version of the plugin interface it was built for.
  public let abiMinor: UInt32
  /// The file name of its library, beside the manifest or one folder up.
  public let library: String
  /// The language it is written in, lower case.
  public let language: String
  /// For a Swift plugin: the Swift release whose runtime it uses (`6.3`), or `bundled` for one that
  /// was built and installed together with the host.
  public let swiftRuntime: String?
  /// What it offers.
  public let components: [ComponentManifest]
  /// What it needs besides computing; an isolated plugin gets exactly that.
  public let permissions: [PluginPermission]
  /// Its licence, an SPDX expression.
  public let license: String
  /// Where to read more.
  public let homepage: String?

  /// Reads a manifest file.
  /// - Throws: `manifest` naming the file and the field at fault.
  public init(file: String) throws(ScalingError) {
    try self.init(data: Self.contents(of: file), file: file)
  }

  static func contents(of file: String) throws(ScalingError) -> Data {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ScalingError(.manifest, "\(file): the manifest cannot be read")
    }
    guard data.count <= 1 << 20 else {
      throw ScalingError(.manifest, "\(file): \(data.count) bytes is too large for a manifest")
    }
    return data
  }

  /// Reads a manifest from memory; `file` names it in errors.
  /// - Throws: `manifest` naming the file and the field at fault.
  public init(data: Data, file: String) throws(ScalingError) {
    let value: JSONValue
    do {
      value = try JSONDecoder().decode(JSONValue.self, from: data)
    } catch {
      throw ScalingError(.manifest, "\(file): this is not JSON: \(reason(error))")
    }
    var fields = try FieldReader(value, file: file)
    _ = try fields.integer("schema", in: Self.schema...Self.schema)
    id = try fields.identifier("id")
    version = try fields.text("version")
    if version.isEmpty { throw fields.failure("version", "is empty") }
    var abi = try fields.object("abi")
    abiMajor = UInt32(try abi.integer("major", in: 0...Int64(UInt32.max)))
    abiMinor = UInt32(try abi.integer("minor", in: 0...Int64(UInt32.max)))
    try abi.finish()
    library = try fields.text("library")
    if library.isEmpty || library.contains("/") || library == "." || library == ".." {
      throw fields.failure("library", "must be a file name without folders, not '\(library)'")
    }
    language = try fields.text("language")
    swiftRuntime = try fields.optionalText("swift_runtime")
    if language == "swift", swiftRuntime == nil {
      throw fields.failure(
        "swift_runtime",
        "is missing: a Swift plugin states the Swift release it was built with, such as \"6.3\"")
    }
    var components: [ComponentManifest] = []
    for reader in try fields.objects("components") {
      components.append(try ComponentManifest(reader))
    }
    if components.isEmpty { throw fields.failure("components", "must list at least one component") }
    var seen: Set<String> = []
    for component in components where !seen.insert("\(component.kind) \(component.id)").inserted {
      throw fields.failure("components", "lists the \(component.kind) '\(component.id)' twice")
    }
    self.components = components
    var permissions: [PluginPermission] = []
    for name in try fields.texts("permissions") {
      guard let permission = PluginPermission(rawValue: name) else {
        let known = PluginPermission.allCases.map(\.rawValue).joined(separator: ", ")
        throw fields.failure("permissions", "names '\(name)', which is none of \(known)")
      }
      if !permissions.contains(permission) { permissions.append(permission) }
    }
    self.permissions = permissions
    license = try fields.text("license")
    homepage = try fields.optionalText("homepage")
    try fields.finish()
  }
}

extension ComponentManifest {
  fileprivate init(_ reader: FieldReader) throws(ScalingError) {
    var fields = reader
    let kindName = try fields.text("kind")
    guard let kind = ComponentKind(rawValue: kindName) else {
      let known = ComponentKind.allCases.map(\.rawValue).joined(separator: ", ")
      throw fields.failure("kind", "is '\(kindName)', which is none of \(known)")
    }
    self.kind = kind
    id = try fields.identifier("id")
    summary = try fields.text("summary")
    paper = try fields.optionalText("paper") ?? ""
    var claims: [ComponentClaim] = []
    for name in try fields.texts("claims") {
      guard let claim = ComponentClaim(rawValue: name) else {
        let known = ComponentClaim.allCases.map(\.rawValue).joined(separator: ", ")
        throw fields.failure("claims", "names '\(name)', which is none of \(known)")
      }
      claims.append(claim)
    }
    self.claims = claims
    var options: [OptionDeclaration] = []
    for reader in try fields.objects("options") { options.append(try OptionDeclaration(reader)) }
    var seen: Set<String> = []
    for option in options where !seen.insert(option.name).inserted {
      throw fields.failure("options", "declares '\(option.name)' twice")
    }
    self.options = options
    defaultScorers = try fields.texts("default_scorers")
    defaultExtractor = try fields.optionalText("default_extractor")
    if kind != .strategy, !defaultScorers.isEmpty || defaultExtractor != nil {
      throw fields.failure("default_scorers", "and default_extractor belong to strategies only")
    }
    try fields.finish()
  }
}

extension FieldReader {
  /// An id: lower-case letters, digits, `-` and `.`, beginning with a letter or digit.
  mutating func identifier(_ field: String) throws(ScalingError) -> String {
    let text = try text(field)
    let allowed = text.utf8.allSatisfy {
      ("a"..."z").contains(Character(Unicode.Scalar($0)))
        || ("0"..."9").contains(Character(Unicode.Scalar($0)))
        || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
    }
    guard allowed, let first = text.first, first != "-", first != ".", text.utf8.count <= 128 else {
      throw failure(
        field, "is '\(text)'; an id has lower-case letters, digits, '-' and '.', at most 128")
    }
    return text
  }
}

/// The useful part of a JSON decoding failure.
private func reason(_ error: any Error) -> String {
  guard case DecodingError.dataCorrupted(let context)? = error as? DecodingError else {
    return "\(error)"
  }
  let detail = (context.underlyingError as NSError?)?.userInfo[NSDebugDescriptionErrorKey]
  return detail.map { "\($0)" } ?? context.debugDescription
}
