import Foundation
import Synchronization

/// `records.jsonl`: one run to a line, appended as runs end.
public final class RecordFile: Sendable {
  /// Where it is.
  public let path: String
  /// What was in the file when it was opened.
  public let records: [RunRecord]
  /// What was dropped from it; nil for nothing.
  public let warning: String?

  private let file: Int32
  private let writing = Mutex(())

  /// Opens or makes the file for one evaluation at a time. A record that was cut off at the end, as a
  /// crash leaves it, is dropped.
  /// - Throws: `data` naming a line that is no record, `output` where the file cannot be written or
  ///   another evaluation writes to it.
  public init(path: String) throws(LabError) {
    self.path = path
    file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard file >= 0 else {
      throw LabError(
        .output, "\(path): cannot be written: \(Self.reason()); name another folder with --out")
    }
    do throws(LabError) {
      guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
        throw LabError(
          .output, "\(path): another evaluation writes to it; wait for it or name another folder")
      }
      let content = try Self.read(path)
      if content.usedBytes < content.bytes, ftruncate(file, off_t(content.usedBytes)) != 0 {
        throw LabError(.output, "\(path): cannot be shortened: \(Self.reason())")
      }
      records = content.records
      warning = content.warning
    } catch {
      close(file)
      throw error
    }
  }

  deinit { close(file) }

  /// Adds a record; it is in the file when this returns.
  public func append(_ record: RunRecord) throws {
    let line = try record.line() + Data("\n".utf8)
    try writing.withLock { _ in
      try line.withUnsafeBytes { bytes in
        var done = 0
        while done < bytes.count {
          let count = write(file, bytes.baseAddress! + done, bytes.count - done)
          if count < 0, errno == EINTR { continue }
          guard count > 0 else {
            throw LabError(.output, "\(path): cannot be written: \(Self.reason())")
          }
          done += count
        }
      }
    }
  }

  /// What a file holds.
  public struct Content {
    /// The records, in the order in which they were written.
    public let records: [RunRecord]
    /// What was dropped; nil for nothing.
    public let warning: String?
    let bytes: Int
    let usedBytes: Int
  }

  /// Reads the records of a file.
  public static func read(_ path: String) throws(LabError) -> Content {
    let data: Data
    do {
      data = try Data(contentsOf: URL(fileURLWithPath: path))
    } catch {
      throw LabError(.input, "\(path): cannot be read; name a folder that an evaluation wrote")
    }
    var records: [RunRecord] = []
    var start = data.startIndex
    var number = 0
    while start < data.endIndex {
      number += 1
      let end = data[start...].firstIndex(of: UInt8(ascii: "\n"))
      let line = data[start..<(end ?? data.endIndex)]
      let isLast = end.map { $0 + 1 == data.endIndex } ?? true
      do {
        guard end != nil else { throw LabError(.data, "cut off") }
        let record = try RunRecord.read(line)
        guard record.schema == RunRecord.schema else {
          throw LabError(
            .data, "\(path):\(number): schema \(record.schema) is not \(RunRecord.schema)")
        }
        records.append(record)
      } catch {
        guard isLast else {
          throw LabError(
            .data, "\(path):\(number): this is no record of a run; delete the line to go on")
        }
        return Content(
          records: records,
          warning: "\(path):\(number): a record was cut off and is dropped; its run is made again",
          bytes: data.count, usedBytes: start - data.startIndex)
      }
      start = end! + 1
    }
    return Content(records: records, warning: nil, bytes: data.count, usedBytes: data.count)
  }

  private static func reason() -> String { String(cString: strerror(errno)) }
}
