import Foundation
import Martlet

/// Writes float32 arrays in NumPy's `.npy` format, version 1.0, little-endian, row-major.
enum NumpyFile {
  /// Writes `values`, shaped `shape`, to `path`. A regular file appears whole or not at all; a FIFO
  /// or device is written to.
  static func write(_ values: [Float], shape: [Int], to path: String) throws(ScalingError) {
    precondition(shape.reduce(1, *) == values.count)
    let dimensions = shape.map { "\($0)," }.joined(separator: " ")
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(dimensions)), }"
    // Magic, version and length take 10 bytes; the data starts at a multiple of 64.
    header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"

    var data = Data([0x93] + Array("NUMPY".utf8) + [1, 0])
    let length = UInt16(header.utf8.count)
    data.append(contentsOf: [UInt8(length & 0xFF), UInt8(length >> 8)])
    data.append(contentsOf: header.utf8)
    data.reserveCapacity(data.count + values.count * 4)
    for value in values {
      let bits = value.bitPattern
      data.append(contentsOf: [
        UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8),
        UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 24),
      ])
    }
    try OutputFile.save(data, to: path)
  }
}
