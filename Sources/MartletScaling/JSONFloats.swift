import Foundation

// How files of ours write floats that JSON lacks. What one side writes the other has to read.

extension JSONEncoder {
  /// Makes infinities and NaN words: `"inf"`, `"-inf"`, `"nan"`.
  package func writeAllFloats() {
    nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  }
}

extension JSONDecoder {
  /// Reads what ``Foundation/JSONEncoder/writeAllFloats()`` writes.
  package func readAllFloats() {
    nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  }
}
