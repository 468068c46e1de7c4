import Foundation

/// The small reasoning model that comes with Martlet.
///
/// It solves two families of arithmetic problems, `make 46 from 3 7 25?` and `calc 17 *4 -23 +45?`;
/// `Benchmarks/Model` holds its generator, training script and model card.
public enum EmbeddedModel {
  /// The path of its GGUF file, or nil when the package's resources are not beside the program.
  public static var path: String? { path(of: "martlet-arith") }

  /// The path of a model that is installed with Martlet, by name; nil when there is none.
  public static func path(of name: String) -> String? {
    Bundle.module.url(forResource: name, withExtension: "gguf")?.path
  }
}
