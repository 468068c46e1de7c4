/// What a model file knows about text: its tokenizer and chat template, without weights. A
/// vocabulary-only file suffices.
public struct ModelVocabulary: Sendable {
  /// The tokenizer.
  public let tokenizer: Tokenizer
  /// The chat template, when the file has one that this version renders.
  public let chatTemplate: ChatTemplate?
  /// Why `chatTemplate` is nil although the file has one, or nil.
  public let chatTemplateError: ModelError?
  /// All metadata of the file.
  public let metadata: GGUFMetadata

  /// Opens `path` and reads its vocabulary. Throws `ModelError`.
  public static func load(path: String) throws(ModelError) -> ModelVocabulary {
    try ModelVocabulary(GGUFFile(path: path))
  }

  init(_ file: GGUFFile) throws(ModelError) {
    metadata = file.metadata
    tokenizer = try Tokenizer(metadata: file.metadata)
    guard let source = try file.metadata.optionalString("tokenizer.chat_template") else {
      chatTemplate = nil
      chatTemplateError = nil
      return
    }
    // A template outside the subset must not keep the model from completing plain text.
    do throws(ModelError) {
      chatTemplate = try ChatTemplate(source: source)
      chatTemplateError = nil
    } catch {
      chatTemplate = nil
      chatTemplateError = error
    }
  }
}
