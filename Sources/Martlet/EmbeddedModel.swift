import MartletScaling

/// The small reasoning model that comes with Martlet.
///
/// It solves two families of arithmetic problems, `make 46 from 3 7 25?` and `calc 17 *4 -23 +45?`;
/// `Benchmarks/Model` holds its generator, training script and model card.
public enum EmbeddedModel {
  /// Where a Swift build puts the files that belong to this module.
  private static let bundle = "martlet_Martlet.resources"

  /// The path of its GGUF file, or nil when it is not where this copy of Martlet lies.
  public static var path: String? { path(of: "martlet-arith") }

  /// The path of a model that is installed with Martlet, by name; nil when there is none.
  ///
  /// `Bundle.module` would look beside the program alone, not beside a library that a program in C
  /// uses, and end the process where it finds nothing.
  public static func path(of name: String) -> String? {
    Installation.file("\(name).gguf", bundle: bundle, folder: "models")
  }
}
