/// How a model split over several files is put together: `NAME-00001-of-00003.gguf` and so on, with
/// `split.no`, `split.count` and `split.tensors.count` in their metadata.
enum SplitModel {
  /// The paths of parts 2… of the model whose first part is at `path`; empty for a whole model.
  static func siblings(
    of path: String, _ metadata: GGUFMetadata
  ) throws(ModelError) -> [String] {
    let count = try metadata.optionalInt("split.count") ?? 0
    guard count != 0, count != 1 else { return [] }
    guard (2...99_999).contains(count) else {
      throw ModelError(.split, "\(path): 'split.count' is \(count); it must be 1 to 99999.")
    }
    let number = try metadata.optionalInt("split.no") ?? 0
    let suffix = "-\(digits(number + 1))-of-\(digits(count)).gguf"
    guard (0..<count).contains(number), path.hasSuffix(suffix) else {
      throw ModelError(
        .split,
        "\(path): its metadata says part \(number + 1) of \(count), so its name must end in "
          + "'\(suffix)'. Give the parts their original names.")
    }
    let stem = path.dropLast(suffix.count)
    guard number == 0 else {
      throw ModelError(
        .split,
        "\(path) is part \(number + 1) of a split model. "
          + "Open the first part instead: \(stem)-\(digits(1))-of-\(digits(count)).gguf")
    }
    return (2...count).map { "\(stem)-\(digits($0))-of-\(digits(count)).gguf" }
  }

  /// Checks that a part says it is part `number` (from 0) of as many as the first part says.
  static func check(
    _ part: GGUFMetadata, number: Int, against first: GGUFMetadata
  ) throws(ModelError) {
    let count = try first.int("split.count")
    let itsNumber = try part.int("split.no")
    let itsCount = try part.int("split.count")
    guard itsNumber == number, itsCount == count else {
      throw ModelError(
        .split,
        "\(part.source): says it is part \(itsNumber + 1) of \(itsCount), but part \(number + 1) "
          + "of \(count) was expected. The parts are of different models.")
    }
  }

  /// Checks the number of tensors in all parts against what the first part announces.
  static func checkTotal(_ tensors: Int, _ first: GGUFMetadata) throws(ModelError) {
    guard let announced = try first.optionalInt("split.tensors.count") else { return }
    guard announced == tensors else {
      throw ModelError(
        .split,
        "\(first.source): 'split.tensors.count' is \(announced), but the parts hold \(tensors) "
          + "tensors. A part is of another model or damaged.")
    }
  }

  private static func digits(_ number: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: Swift.max(0, 5 - text.count)) + text
  }
}
