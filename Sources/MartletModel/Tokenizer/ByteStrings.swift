/// Many byte strings in one allocation: a tokenizer's 150,000 tokens without 150,000 arrays.
public struct ByteStrings: Sendable, Equatable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  /// No strings.
  public init() {}

  /// The strings' bytes.
  public init(_ strings: some Sequence<[UInt8]>) {
    for string in strings { append(string) }
  }

  /// The strings' UTF-8.
  public init(_ strings: some Sequence<String>) {
    for string in strings { append(string.utf8) }
  }

  /// How many strings there are.
  public var count: Int { ends.count }

  /// The bytes of string `index`.
  public subscript(index: Int) -> ArraySlice<UInt8> { bytes[range(index)] }

  /// The number of bytes of string `index`.
  public func length(_ index: Int) -> Int { range(index).count }

  /// The string `index` with invalid UTF-8 replaced, for messages.
  public func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }

  /// Adds a string at the end.
  public mutating func append(_ string: some Sequence<UInt8>) {
    bytes.append(contentsOf: string)
    ends.append(bytes.count)
  }

  /// Adds the bytes of a span at the end.
  public mutating func append(_ string: Span<UInt8>) {
    for index in string.indices { bytes.append(string[index]) }
    ends.append(bytes.count)
  }

  /// Makes room for strings and their bytes.
  public mutating func reserve(strings: Int, bytes: Int) {
    ends.reserveCapacity(strings)
    self.bytes.reserveCapacity(bytes)
  }

  /// Where string `index` lies in the common storage.
  func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

  /// The common storage.
  var storage: [UInt8] { bytes }
}

/// Finds the number of a byte string: an open-addressing hash table over `ByteStrings`.
struct ByteStringIndex: Sendable {
  private(set) var strings = ByteStrings()
  /// What each string stands for.
  private var values: [Int32] = []
  /// Index into `strings` plus one; 0 is free. The length is a power of two, at most half full.
  private var slots: [Int32] = [Int32](repeating: 0, count: 16)

  /// The number of the longest string, in bytes.
  private(set) var longest = 0

  init(capacity: Int = 0) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = [Int32](repeating: 0, count: size)
  }

  /// The value of the string, or nil.
  func find(_ string: Span<UInt8>) -> Int32? {
    if string.count > longest { return nil }
    let mask = slots.count - 1
    var slot = Self.hash(string) & mask
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if matches(entry, string) { return values[entry] }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// Gives the string a value unless it has one; returns the value it has afterwards.
  @discardableResult
  mutating func insert(_ string: Span<UInt8>, value: Int32) -> Int32 {
    if strings.count * 2 >= slots.count { grow() }
    let mask = slots.count - 1
    var slot = Self.hash(string) & mask
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if matches(entry, string) { return values[entry] }
      slot = (slot + 1) & mask
    }
    strings.append(string)
    values.append(value)
    slots[slot] = Int32(strings.count)
    longest = max(longest, string.count)
    return value
  }

  private mutating func grow() {
    slots = [Int32](repeating: 0, count: slots.count * 2)
    let mask = slots.count - 1
    let all = strings.storage
    for entry in 0..<strings.count {
      var slot = Self.hash(all.span.extracting(strings.range(entry))) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = Int32(entry + 1)
    }
  }

  @inline(__always)
  private func matches(_ entry: Int, _ string: Span<UInt8>) -> Bool {
    let range = strings.range(entry)
    guard range.count == string.count else { return false }
    let all = strings.storage
    for index in 0..<string.count where all[range.lowerBound + index] != string[index] {
      return false
    }
    return true
  }

  /// FNV-1a with a final mix: tokens are short, so a byte at a time is as fast as anything.
  @inline(__always)
  private static func hash(_ string: Span<UInt8>) -> Int {
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in string.indices { state = (state ^ UInt64(string[index])) &* 0x100_0000_01b3 }
    state ^= state >> 32
    return Int(truncatingIfNeeded: state &* 0x9e37_79b9_7f4a_7c15 >> 17)
  }
}
