import ArgumentParser
import Foundation
import Martlet

// How options read their values, where ArgumentParser's own messages would not say what to do.
// Numbers are read with `parsing: .unconditional`, so that `-1` is a value out of range and not the
// next option.

/// A path, which is not empty.
func path(_ text: String) throws -> String {
  guard !text.isEmpty else { throw ValidationError("it is empty; name a file or folder") }
  return text
}

/// A number of bytes: `4G`, `512M`, `64K`, `1T` or digits alone.
func byteCount(_ text: String) throws -> Int {
  let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30, "T": 40]
  let shift = text.uppercased().last.flatMap { shifts[$0] }
  guard let number = Int(shift == nil ? text[...] : text.dropLast()), number > 0,
    case let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0)),
    !overflow
  else { throw ValidationError("write a number of bytes above 0, such as 4G, 512M or 1000000") }
  return bytes
}

/// A size as people read it, in powers of 1024.
func shortSize(_ bytes: Int) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var (value, unit) = (Double(bytes), 0)
  while value >= 1024, unit + 1 < units.count { (value, unit) = (value / 1024, unit + 1) }
  let digits = unit == 0 || value >= 100 ? 0 : 1
  return String(format: "%.\(digits)f ", value) + units[unit]
}

/// A number of worker threads.
func threadCount(_ text: String) throws -> Int {
  let range = 1...PlacementPlan.maximumThreads
  guard let count = Int(text), range.contains(count) else {
    throw ValidationError("choose between \(range.lowerBound) and \(range.upperBound) threads")
  }
  return count
}
