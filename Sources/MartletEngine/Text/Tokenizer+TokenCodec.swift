public import MartletModel

/// A model file's tokenizer is what the engine needs as it is.
extension Tokenizer: TokenCodec {}
