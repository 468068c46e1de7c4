import ArgumentParser
import Foundation
import Martlet

/// `martlet model tokenize`.
struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Prints the token ids of a text, separated by commas.",
    discussion: "A vocabulary-only GGUF suffices. Without TEXT or --file, reads standard input.")

  @Option(help: "The model file; the embedded model if not given.", transform: path)
  var model: String?

  @Option(help: "Tokenise this file, byte for byte.", transform: path)
  var file: String?

  @Flag(name: .customLong("no-bos"), help: "Do not add the tokens that begin and end a sequence.")
  var noBOS = false

  @Flag(help: "Read special tokens such as <|im_start|> as tokens, not as text.")
  var parseSpecial = false

  @Argument(help: "The text.")
  var text: String?

  func validate() throws {
    if text != nil, file != nil { throw ValidationError("Give TEXT or --file, not both.") }
  }

  func run() throws {
    let bytes: [UInt8]
    if let text {
      bytes = Array(text.utf8)
    } else if let file {
      bytes = try readBytes(of: file)
    } else {
      bytes = try readStandardInput()
    }
    let tokenizer = try Tokenizer(metadata: GGUFFile(path: modelPath(model)).metadata)
    let tokens = tokenizer.encode(bytes, addSpecial: !noBOS, parseSpecial: parseSpecial)
    print(tokens.map(String.init).joined(separator: ","))
  }
}
