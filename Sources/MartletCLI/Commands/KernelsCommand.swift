import ArgumentParser
import Foundation
import Martlet

/// `martlet kernels`.
struct KernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Prints which kernel serves each operation on this CPU, and why.",
    discussion: "MARTLET_ISA (reference, avx2, avx512, native) can remove CPU features, never add.")

  @Option(help: "Only operations whose name contains this.")
  var filter: String?

  @Flag(help: "Also print the variants that do not serve.")
  var all = false

  @Flag(help: "Print JSON.")
  var json = false

  private struct Row: Encodable {
    let family, operation, isa, name, numericClass, reason: String
    let available, serving: Bool
  }

  func run() throws {
    try ISA.validate()
    let variants = kernelVariants().filter { variant in
      (all || variant.serving) && (filter.map(variant.name.contains) ?? true)
    }
    if json {
      return try printJSON(
        variants.map {
          Row(
            family: $0.family, operation: $0.operation, isa: $0.isa, name: $0.name,
            numericClass: $0.numericClass.rawValue, reason: $0.reason, available: $0.available,
            serving: $0.serving)
        })
    }
    print("CPU: \(ISA.detected.joined(separator: " "))")
    print("in use: \(ISA.active.joined(separator: " "))\n")
    var table = Table(["operation", "class", "isa", "serves", "reason"])
    for variant in variants {
      table.append([
        variant.operation, variant.numericClass.rawValue, variant.isa,
        variant.serving ? "yes" : "no", variant.reason,
      ])
    }
    print(table.render())
  }
}
