// swift-tools-version: 6.2
import PackageDescription

// Imports point one way: Kernels ← Machine ← Model ← Engine ← Scaling ← Martlet ← CLI.
// A plugin imports MartletPlugin (or the C header) and nothing else.

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")

/// A plugin is one dynamic library of its own, built on the author kit alone.
func plugin(_ name: String) -> Target {
  .target(
    name: name, dependencies: ["MartletPlugin"], path: "Sources/Plugins/\(name)",
    resources: [.copy("\(name).martlet-plugin.json")], swiftSettings: strict)
}
let pluginNames = [
  "AStarDecoding", "AdaptiveBranching", "AdaptiveConsistency", "AnnealedParticles",
  "AnswerConvergence", "AssociatedThoughts", "Auto", "BatchPrompting", "BeamSearch", "BestOfN",
  "BudgetForcing", "ChainAndProgram", "ComputeOptimal", "ConfidenceSelection", "CritiqueLoop",
  "DiverseTreeSearch", "DiversifiedPrompts", "EarlyRejection", "EarlyStoppingConsistency",
  "FirstFinish", "FirstStepFiltering", "ForwardBackward", "FracturedSampling",
  "HintMarginalization", "Hogwild", "InferenceProgram", "InverseEntropyVoting",
  "IterativeAgentDecoding",
  "IterativeDeepening", "LengthScheduling", "MindStar", "ModelSwitch", "MomentumUncertainty",
  "NoWait", "ParticleFilter", "ParticleGibbs", "PerplexityConsistency", "PhiDecoding", "Pipeline",
  "RepeatedSampling", "Reprompting", "SampleAllocation", "SampleScrutinize", "SaturationStopping",
  "SelfConsistency", "SelfEvaluatedSampling", "SelfEvaluationBeam", "SelfRefine", "SemanticEntropy",
  "ShortMofK", "SleepTime", "SolveDetectVerify", "SolveVerify", "SpawnJoin", "Synthesis",
  "TreeSearch", "TwistedParticles", "WeightedVoting",
  // Scorers, extractors, drafters, samplers and memories.
  "Certainty", "ExactChecker", "FinalAnswer", "GenerativeJudge", "MeanLogprob", "NearestNotes",
  "PLess", "PTrue", "Phrases", "ProcessReward",
]
/// A plugin in plain C: the header alone, no author kit.
func cPlugin(_ name: String) -> Target {
  .target(
    name: name, dependencies: ["CMartlet"], path: "Sources/Plugins/\(name)",
    resources: [.copy("\(name).martlet-plugin.json")], publicHeadersPath: ".")
}
let cPluginNames = ["BestOfNC"]

func tests(
  _ name: String, _ dependencies: [Target.Dependency], fixtures: Bool = false,
  excluding excluded: [String] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, exclude: excluded,
    resources: fixtures ? [.copy("Fixtures")] : [], swiftSettings: strict)
}

let package = Package(
  name: "martlet",
  products: [
    .library(name: "Martlet", targets: ["Martlet"]),
    .library(name: "MartletPlugin", targets: ["MartletPlugin"]),
    .library(name: "MartletSimulation", targets: ["MartletSimulation"]),
    .library(name: "MartletBench", targets: ["MartletBench"]),
    .executable(name: "martlet", targets: ["MartletCLI"]),
    // The process of an isolated plugin; hosts start it, see PluginIsolation.
    .executable(name: "martlet-plugin-host", targets: ["PluginHost"]),
    .library(name: "CMartlet", type: .dynamic, targets: ["CMartlet", "CKernels"]),
    // Installed as libmartlet; the name is the tool's here.
    .library(name: "MartletC", type: .dynamic, targets: ["MartletC"]),
  ]
    + (pluginNames + cPluginNames).map {
      .library(name: "Martlet\($0)", type: .dynamic, targets: [$0])
    },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
  ],
  targets: [
    .systemLibrary(name: "CHwloc", providers: [.apt(["libhwloc-dev"])]),
    .systemLibrary(name: "CNuma", providers: [.apt(["libnuma-dev"])]),

    // The public C surface, headers alone, and the kernels behind it.
    .target(name: "CMartlet", path: "include", publicHeadersPath: "."),
    .target(
      name: "CKernels", dependencies: ["CMartlet"], path: "CKernels",
      publicHeadersPath: "public", cSettings: [.headerSearchPath(".")]),
    .target(
      name: "CKernelsCheck", dependencies: ["CMartlet", "CKernels"], path: "Tests/CKernelsCheck",
      cSettings: [.headerSearchPath("../../CKernels"), .headerSearchPath(".")]),

    .target(
      name: "MartletKernels", dependencies: ["CMartlet", "CKernels"], swiftSettings: strict),
    .target(
      name: "MartletMachine", dependencies: ["CHwloc", "CNuma", "MartletKernels", logging],
      swiftSettings: strict),
    .target(
      name: "MartletModel", dependencies: ["MartletKernels", "MartletMachine", heap, logging],
      swiftSettings: strict),
    .target(
      name: "MartletEngine",
      dependencies: [
        "MartletKernels", "MartletMachine", "MartletModel", deque, heap, logging,
      ],
      swiftSettings: strict),
    .target(name: "MartletSimulation", dependencies: ["MartletEngine"], swiftSettings: strict),
    .target(name: "CIsolation", dependencies: ["CMartlet"]),
    // Swift plugins built without optimisation want this library, which the sandbox would not let them find.
    .executableTarget(
      name: "PluginHost", dependencies: ["CIsolation"],
      linkerSettings: [.linkedLibrary("swiftSwiftOnoneSupport", .when(platforms: [.linux]))]),
    .target(
      name: "MartletScaling", dependencies: ["CIsolation", "CMartlet", "MartletEngine", logging],
      swiftSettings: strict),
    .target(
      name: "Martlet",
      dependencies: [
        "MartletKernels", "MartletMachine", "MartletModel", "MartletEngine", "MartletScaling",
        logging,
      ],
      resources: [
        .copy("Resources/martlet-arith.gguf"), .copy("Resources/martlet-arith-prm.gguf"),
        .copy("Resources/martlet-arith.choices"),
      ], swiftSettings: strict),
    // The functions of include/martlet/engine.h.
    .target(
      name: "MartletC", dependencies: ["CMartlet", "CKernels", "Martlet", logging],
      swiftSettings: strict),
    .target(name: "MartletPlugin", dependencies: ["CMartlet"], swiftSettings: strict),
    .target(name: "MartletBench", dependencies: ["Martlet"], swiftSettings: strict),
    .target(name: "MartletLab", dependencies: ["MartletScaling"], swiftSettings: strict),
    .executableTarget(
      name: "MartletCLI",
      dependencies: [
        "Martlet", "MartletBench", "MartletLab", "MartletSimulation", "CKernelsCheck", arguments,
        logging,
      ],
      swiftSettings: strict),

    tests("MartletKernelsTests", ["MartletKernels", "CKernelsCheck"]),
    tests("MartletMachineTests", ["MartletMachine"], fixtures: true),
    tests("MartletModelTests", ["MartletModel"], fixtures: true),
    tests("MartletEngineTests", ["MartletEngine", "MartletSimulation"]),
    tests(
      "MartletScalingTests", ["MartletScaling", "MartletSimulation", "PluginProbe", "CIsolation"]),
    // Started by MartletScalingTests: one conformance case in a process of its own.
    .executableTarget(
      name: "PluginProbe", dependencies: ["MartletScaling", "MartletSimulation"],
      path: "Tests/PluginProbe", swiftSettings: strict),
    // Started by MartletTests and by `make endurance`: runs that end in every way there is.
    .executableTarget(
      name: "Endurance", dependencies: ["CIsolation", "Martlet", "MartletSimulation", logging],
      path: "Tests/Endurance", exclude: ["Plugins"], swiftSettings: strict),
    tests(
      "MartletTests", ["Martlet", "MartletSimulation", "Endurance"],
      excluding: ["greedy.json", "Fixtures"]),
    tests("MartletBenchTests", ["MartletBench"]),
    tests("MartletLabTests", ["MartletLab", "MartletSimulation"]),
    // Runs the built tool; building the tests builds the tool and the plugins too.
    tests("MartletCLITests", []),
  ] + pluginNames.map(plugin) + cPluginNames.map(cPlugin),
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
