import ArgumentParser
import Foundation
import Martlet

/// `martlet model tokenize`.
struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Prints the token ids of a text, separated by commas.",
    discussion: "A vocabulary-only GGUF suffices. Without TEXT or --file, reads standard input.")

  @Option(help: "The model file; the embedded model if not given.")
  var model: String?

  @Option(help: "Tokenise this file, byte for byte.")
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
      bytes = [UInt8](FileHandle.standardInput.readDataToEndOfFile())
    }
    let tokenizer = try Tokenizer(metadata: GGUFFile(path: modelPath(model)).metadata)
    let tokens = tokenizer.encode(bytes, addSpecial: !noBOS, parseSpecial: parseSpecial)
    print(tokens.map(String.init).joined(separator: ","))
  }
}

/// The bytes of a file that the user named.
func readBytes(of path: String) throws(CommandError) -> [UInt8] {
  do {
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  } catch {
    throw CommandError(.input, "cannot read \(path): \(error.localizedDescription)")
  }
}
