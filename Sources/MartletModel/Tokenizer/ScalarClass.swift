/// The major general category of a code point, as UnicodeCategories numbers it.
enum MajorCategory: UInt32 {
  case unassigned, number, letter, separator, mark, punctuation, symbol, control
}

/// Sets of code points as sets of atoms: every code point belongs to exactly one atom, so that
/// union is `|`, complement is `~` and membership is one AND.
struct ScalarClass: OptionSet, Sendable {
  let rawValue: UInt32

  static let carriageReturn = ScalarClass(rawValue: 1 << 0)
  static let lineFeed = ScalarClass(rawValue: 1 << 1)
  static let space = ScalarClass(rawValue: 1 << 2)
  static let otherWhitespace = ScalarClass(rawValue: 1 << 3)
  static let asciiUpper = ScalarClass(rawValue: 1 << 4)
  static let asciiLower = ScalarClass(rawValue: 1 << 5)
  static let otherLetter = ScalarClass(rawValue: 1 << 6)
  static let asciiDigit = ScalarClass(rawValue: 1 << 7)
  static let otherNumber = ScalarClass(rawValue: 1 << 8)
  static let slash = ScalarClass(rawValue: 1 << 9)
  static let otherASCIIPunctuation = ScalarClass(rawValue: 1 << 10)
  static let backtick = ScalarClass(rawValue: 1 << 11)
  static let otherASCIISymbol = ScalarClass(rawValue: 1 << 12)
  static let otherPunctuation = ScalarClass(rawValue: 1 << 13)
  static let otherSymbol = ScalarClass(rawValue: 1 << 14)
  static let mark = ScalarClass(rawValue: 1 << 15)
  /// Control, format, unassigned, private use.
  static let rest = ScalarClass(rawValue: 1 << 16)

  static let newline: ScalarClass = [.carriageReturn, .lineFeed]
  static let whitespace: ScalarClass = [.newline, .space, .otherWhitespace]
  static let asciiLetter: ScalarClass = [.asciiUpper, .asciiLower]
  static let letter: ScalarClass = [.asciiLetter, .otherLetter]
  static let number: ScalarClass = [.asciiDigit, .otherNumber]
  static let asciiPunctuation: ScalarClass = [.slash, .otherASCIIPunctuation]
  static let punctuation: ScalarClass = [.asciiPunctuation, .otherPunctuation]
  static let asciiSymbol: ScalarClass = [.backtick, .otherASCIISymbol]
  static let symbol: ScalarClass = [.asciiSymbol, .otherSymbol]
  static let any = ScalarClass(rawValue: (1 << 17) - 1)

  /// Every code point of `any` that is not in this set.
  var inverted: ScalarClass { ScalarClass.any.subtracting(self) }

  /// The one atom `scalar` belongs to; beyond U+10FFFF it is `rest`.
  @inline(__always)
  static func of(_ scalar: UInt32) -> ScalarClass {
    ScalarClassTable.shared[scalar]
  }
}

/// Atoms of every code point in two levels: 256-entry pages, equal pages stored once.
private struct ScalarClassTable: Sendable {
  static let shared = ScalarClassTable()

  private var pageOf = [UInt16](repeating: 0, count: 0x1100)
  /// Bit number of the atom.
  private var atoms: [UInt8] = []

  @inline(__always)
  subscript(scalar: UInt32) -> ScalarClass {
    guard scalar < 0x110000 else { return .rest }
    let page = Int(pageOf[Int(scalar >> 8)])
    return ScalarClass(rawValue: 1 << UInt32(atoms[page << 8 | Int(scalar & 0xff)]))
  }

  init() {
    let runs = UnicodeCategories.runs
    var run = 0
    var known: [[UInt8]: UInt16] = [:]
    var page = [UInt8](repeating: 0, count: 256)
    for high in 0..<0x1100 {
      for low in 0..<256 {
        let scalar = UInt32(high << 8 | low)
        while run + 1 < runs.count, runs[run + 1] >> 4 <= scalar { run += 1 }
        let category = MajorCategory(rawValue: runs[run] & 0xf) ?? .unassigned
        page[low] = UInt8(Self.atom(scalar, category).rawValue.trailingZeroBitCount)
      }
      if let same = known[page] {
        pageOf[high] = same
      } else {
        pageOf[high] = UInt16(known.count)
        known[page] = UInt16(known.count)
        atoms.append(contentsOf: page)
      }
    }
  }

  private static func atom(_ scalar: UInt32, _ category: MajorCategory) -> ScalarClass {
    switch scalar {
    case 0x0d: return .carriageReturn
    case 0x0a: return .lineFeed
    case 0x20: return .space
    case 0x09, 0x0b, 0x0c, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f,
      0x3000:
      return .otherWhitespace
    case 0x2f: return .slash
    case 0x60: return .backtick
    case 0x41...0x5a: return .asciiUpper
    case 0x61...0x7a: return .asciiLower
    case 0x30...0x39: return .asciiDigit
    default: break
    }
    switch category {
    case .letter: return .otherLetter
    case .number: return .otherNumber
    case .punctuation: return scalar < 0x80 ? .otherASCIIPunctuation : .otherPunctuation
    case .symbol: return scalar < 0x80 ? .otherASCIISymbol : .otherSymbol
    case .mark: return .mark
    case .separator, .control, .unassigned: return .rest
    }
  }
}
