import Foundation

/// The small reasoning model that comes with Martlet.
///
/// It solves two families of arithmetic problems, `make 46 from 3 7 25?` and `calc 17 *4 -23 +45?`;
/// `Benchmarks/Model` holds its generator, training script and model card.
public enum EmbeddedModel {
  /// The path of its GGUF file, or nil when the package's resources are not beside the program.
  public static var path: String? {
    Bundle.module.url(forResource: "martlet-arith", withExtension: "gguf")?.path
  }
}
