import Foundation
import MartletEngine
import MartletScaling
import MartletSimulation
import Testing

/// The plugins that the build put beside the tests.
let shipped = PluginHost()

/// A session on a simulated world, and the engine under it.
func makeSession(
  _ world: any SimulatedWorld, plugins: PluginHost = shipped, cost: SimulatedCost = .init(),
  defaults: ModelDefaults = .init(), grace: Duration = .seconds(5), contextLength: Int = 4096
) throws -> (session: ScalingSession, engine: Engine) {
  let backend = SimulatedBackend(world: world, contextLength: contextLength, cost: cost)
  let engine = try Engine(backend: backend)
  let session = ScalingSession(
    engine: engine, plugins: plugins, model: "simulation", defaults: defaults, grace: grace)
  return (session, engine)
}

/// A request with options.
func request(
  _ prompt: String, _ strategy: String, _ options: [String] = [], seed: UInt64 = 1,
  maxTokens: Int? = nil, budget: Budget = Budget()
) throws -> RunRequest {
  var request = RunRequest(prompt: prompt, strategy: strategy)
  try request.set(options)
  request.seed = seed
  request.stops.maxTokens = maxTokens
  request.budget = budget
  return request
}

/// `make 46 from 3 7 25?` with right and wrong derivations; the likeliest is wrong.
let makeWorld: ScriptedWorld = {
  // swift-format-ignore: NeverUseForceTry
  try! ScriptedWorld(
    script: """
      prompt "make 46 from 3 7 25?"
      start: " 3*7=21" 0.3 -> product, " 7-3=4" 0.7 -> difference
      product: " 21+25=46" 0.8 -> right, " 21+25=45" 0.2 -> wrong
      difference: " 4*25=76" 1 -> wrong
      right: " #" 1 -> good
      wrong: " #" 1 -> bad
      good: reward 1
      bad: reward 0
      """)
}()

/// A language without an end.
let endless = HashedWorld(seed: 3)

/// A folder for one test, gone after it.
final class TemporaryFolder {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "martlet-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(
      at: url, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }
}

/// Plugins in C from Tests/KnownBadPlugins, compiled when first asked for.
final class FixturePlugin {
  let folder: TemporaryFolder
  let id: String
  var manifestPath: String { "\(folder.path)/fixture.martlet-plugin.json" }

  /// Compiles `<name>.c`. The plugin's id is the name with dashes.
  init(_ name: String, manifest: (String) -> String = FixturePlugin.manifest) throws {
    folder = try TemporaryFolder()
    id = name.replacingOccurrences(of: "_", with: "-")
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent()
    let compiler = try Self.compiler()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: compiler)
    process.arguments = [
      "-std=gnu17", "-shared", "-fPIC", "-pthread", "-DFIXTURE_ID=\"\(id)\"",
      "-I", tests.deletingLastPathComponent().appendingPathComponent("include").path,
      "-o", "\(folder.path)/libfixture.so",
      tests.appendingPathComponent("KnownBadPlugins/\(name).c").path,
    ]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(name).c does not compile")
    try folder.write(manifest(id), to: "fixture.martlet-plugin.json")
  }

  /// A host that knows this plugin and those beside the tests.
  var host: PluginHost { host(nil) }

  /// The same with plugins in processes of their own.
  func host(_ isolation: PluginIsolation?) -> PluginHost {
    let own = PluginSearchPath.Folder(path: folder.path, isExplicit: true, isOwn: false)
    return PluginHost(
      searchPath: PluginSearchPath(folders: [own] + PluginSearchPath.standard().folders),
      isolation: isolation)
  }

  static func manifest(_ id: String) -> String {
    """
    {
      "schema": 1, "id": "\(id)", "version": "1.0.0", "abi": {"major": 1, "minor": 0},
      "library": "libfixture.so", "language": "c", "license": "Apache-2.0",
      "components": [{"kind": "strategy", "id": "\(id)", "summary": "A test fixture."}]
    }
    """
  }

  private static func compiler() throws -> String {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let found = ["cc", "clang", "gcc"].lazy.flatMap { name in folders.map { "\($0)/\(name)" } }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
    return try #require(found, "the tests need a C compiler (cc, clang or gcc) in PATH")
  }
}
