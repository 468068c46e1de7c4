/// What a token is, from its type in the file and from well-known names.
struct TokenAttributes: OptionSet, Sendable {
  let rawValue: UInt16

  static let unknown = TokenAttributes(rawValue: 1 << 0)
  static let unused = TokenAttributes(rawValue: 1 << 1)
  static let normal = TokenAttributes(rawValue: 1 << 2)
  static let control = TokenAttributes(rawValue: 1 << 3)
  static let userDefined = TokenAttributes(rawValue: 1 << 4)
  static let byte = TokenAttributes(rawValue: 1 << 5)
  /// Takes the whitespace before it.
  static let stripsLeft = TokenAttributes(rawValue: 1 << 6)
  /// Takes the whitespace after it.
  static let stripsRight = TokenAttributes(rawValue: 1 << 7)

  /// The attribute of a token type in a file.
  init(type: Int32) {
    switch type {
    case 1: self = .normal
    case 2: self = .unknown
    case 3: self = .control
    case 4: self = .userDefined
    case 5: self = .unused
    case 6: self = .byte
    default: self = []
    }
  }

  init(rawValue: UInt16) { self.rawValue = rawValue }
}
