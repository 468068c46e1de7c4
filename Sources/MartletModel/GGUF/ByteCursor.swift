import MartletMachine

/// Reads little-endian values from untrusted bytes, checking every step.
///
/// The one place in the GGUF reader that touches a raw buffer: the buffer is only borrowed inside
/// `MappedFile.withBytes`, and every read proves `offset + size <= count` (written so that it
/// cannot overflow) before it touches memory.
struct ByteCursor {
  private let bytes: UnsafeRawBufferPointer
  private let file: String
  private(set) var offset: Int

  init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0, file: String) {
    self.bytes = bytes
    self.file = file
    self.offset = Swift.max(0, Swift.min(offset, bytes.count))
  }

  /// Bytes left from the current offset.
  var remaining: Int { bytes.count - offset }

  /// Reads one integer. `field` names it in the error when the file ends first.
  mutating func integer<T: FixedWidthInteger>(
    _ type: T.Type, _ field: @autoclosure () -> String
  ) throws(ModelError) -> T {
    guard MemoryLayout<T>.size <= remaining else {
      throw truncated(field(), needs: UInt64(MemoryLayout<T>.size))
    }
    // In bounds by the guard; unaligned loads of plain integers are always valid.
    let value = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
    offset += MemoryLayout<T>.size
    return T(littleEndian: value)
  }

  /// Reads a 64-bit length and steps over that many bytes, returning where they are.
  mutating func lengthPrefixed(_ field: @autoclosure () -> String) throws(ModelError) -> Range<Int>
  {
    // Files hold hundreds of thousands of strings: the sound case comes first and builds no text.
    if remaining >= 8 {
      let raw = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      let length = UInt64(littleEndian: raw)
      if length <= UInt64(remaining - 8) {
        let start = offset + 8
        offset = start + Int(length)
        return start..<offset
      }
    }
    let length = try integer(UInt64.self, "\(field()) length")
    offset -= 8
    throw truncated(field(), needs: length)
  }

  /// Steps over `count` elements of at least `size` bytes each, or proves that they cannot fit.
  func check(
    count: UInt64, ofAtLeast size: Int, _ field: @autoclosure () -> String
  ) throws(ModelError) -> Int {
    guard count <= UInt64(remaining / size) else {
      throw ModelError(
        .truncated,
        "\(file): \(field()) at byte \(offset) claims \(count) elements of at least \(size) bytes, "
          + "but only \(remaining) bytes are left. The file is damaged or incomplete: "
          + "download it again."
      )
    }
    return Int(count)
  }

  /// Steps over `count` bytes already shown to fit.
  mutating func skip(_ count: Int) {
    precondition(count >= 0 && count <= remaining, "skip past the end was not checked")
    offset += count
  }

  /// Lends the bytes of a range returned by `lengthPrefixed`.
  func withContents<R>(
    _ range: Range<Int>, _ body: (Span<UInt8>) throws(ModelError) -> R
  ) throws(ModelError) -> R {
    // The span cannot outlive the closure, and the buffer outlives the cursor.
    try UnsafeRawBufferPointer(rebasing: bytes[range]).withMemoryRebound(to: UInt8.self) {
      (bytes) throws(ModelError) in try body(Span(_unsafeElements: bytes))
    }
  }

  /// The text of a range, or nil when it is not UTF-8.
  func text(_ range: Range<Int>) -> String? {
    String(validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
  }

  private func truncated(_ field: String, needs: UInt64) -> ModelError {
    ModelError(
      .truncated,
      "\(file): the file ends inside \(field): it needs \(needs) bytes at byte \(offset), and "
        + "\(remaining) are left. The file is damaged or incomplete: download it again.")
  }
}

extension MappedFile {
  /// Runs a parser over the file's bytes from `offset`. `label` names the file in errors.
  func parsing<R>(
    at offset: Int = 0, label: String, _ body: (inout ByteCursor) throws(ModelError) -> R
  ) throws(ModelError) -> R {
    try withBytes { (bytes) throws(ModelError) in
      var cursor = ByteCursor(bytes, at: offset, file: label)
      return try body(&cursor)
    }
  }
}
