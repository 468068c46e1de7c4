"""llama.cpp's tokenizer through llama-cpp-python (PyPI), which builds it from its own sources."""
import ctypes

import llama_cpp

_silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
llama_cpp.llama_log_set(_silent, None)
llama_cpp.llama_backend_init()


class Reference:
    """A vocabulary loaded from a GGUF file."""

    def __init__(self, path):
        options = llama_cpp.llama_model_default_params()
        options.vocab_only = True
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)

    def tokenize(self, data, add_special, parse_special):
        capacity = len(data) + 16
        while True:
            tokens = (llama_cpp.llama_token * capacity)()
            count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), tokens, capacity,
                                             add_special, parse_special)
            if count >= 0:
                return list(tokens[:count])
            capacity = -count

    def end_of_generation(self):
        count = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        return [token for token in range(count)
                if llama_cpp.llama_vocab_is_eog(self.vocabulary, token)]

    def piece(self, token, special):
        buffer = ctypes.create_string_buffer(512)
        count = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, 512, 0, special)
        return buffer.raw[:max(count, 0)]

    def close(self):
        llama_cpp.llama_model_free(self.model)
