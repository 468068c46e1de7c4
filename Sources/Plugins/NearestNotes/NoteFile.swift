import Foundation
import MartletPlugin

/// A file of notes, one JSON object with `key` and `text` a line. Several processes may use one: whoever
/// reads or writes holds a lock on it meanwhile, and what another appends is seen by the next session.
struct NoteFile {
  struct Line: Codable {
    let key: String
    let text: String
  }

  private let path: String

  init(_ path: String) { self.path = path }

  /// The last notes of the file; none where it is not there. A last line that is not whole, because its
  /// writer was cut short, is taken off.
  func read(last count: Int, _ component: ComponentContext) throws -> [Line] {
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    return try locked { file in
      let data = try file.readToEnd() ?? Data()
      let whole = Self.wholeBytes(data)
      if whole < data.count {
        component.log(.warning, "\(path): the last line is not whole and was taken off")
        try file.truncate(atOffset: UInt64(whole))
      }
      var lines: [Line] = []
      let decoder = JSONDecoder()
      for (number, line) in data[..<whole].split(separator: UInt8(ascii: "\n")).enumerated() {
        do {
          lines.append(try decoder.decode(Line.self, from: Data(line)))
        } catch {
          throw PluginError(
            .argument,
            "\(path): line \(number + 1) is no note, an object with the texts \"key\" and \"text\"; "
              + "mend it, or name another file")
        }
      }
      return lines.suffix(count)
    }
  }

  func append(_ text: String, under key: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let line = try encoder.encode(Line(key: key, text: text)) + Data("\n".utf8)
    try locked { file in
      var end = try file.seekToEnd()
      if end > 0 {
        try file.seek(toOffset: end - 1)
        if try file.read(upToCount: 1) != Data("\n".utf8) {
          // Another writer was cut short.
          try file.seek(toOffset: 0)
          end = UInt64(Self.wholeBytes(try file.readToEnd() ?? Data()))
          try file.truncate(atOffset: end)
        }
      }
      try file.seek(toOffset: end)
      do { try file.write(contentsOf: line) } catch {
        // What there is of it would spoil the next line.
        try? file.truncate(atOffset: end)
        throw error
      }
    }
  }

  /// Bytes up to the end of the last whole line.
  private static func wholeBytes(_ data: Data) -> Int {
    data.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
  }

  /// Does something with the file, which nobody else has meanwhile. It is made, for its owner to read and
  /// write, where it is not there.
  private func locked<Result>(_ body: (FileHandle) throws -> Result) throws -> Result {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure() }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    guard flock(descriptor, LOCK_EX) == 0 else { throw failure() }
    do {
      return try body(file)
    } catch let error as PluginError {
      throw error
    } catch {
      throw PluginError(.plugin, "\(path): \(error.localizedDescription)")
    }
  }

  private func failure() -> PluginError {
    PluginError(
      .plugin, "\(path) cannot be opened: \(String(cString: strerror(errno))); name another file")
  }
}
