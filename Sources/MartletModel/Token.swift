/// A token id of a model's vocabulary: 0 ..< `vocabularySize`.
public typealias Token = Int32
