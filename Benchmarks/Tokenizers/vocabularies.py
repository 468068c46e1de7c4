"""Small vocabularies of our own, trained on corpus.training_text(), as vocabulary-only GGUF files."""
import json
import pathlib
import tempfile

import gguf
import sentencepiece
import tokenizers

import corpus

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BPE_ADDED = [("<|endoftext|>", CONTROL), ("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL),
             ("<unk>", UNKNOWN), ("<tool>", USER), ("<tool_call>", USER), ("ool_c", USER),
             ("   ", USER), ("<|spare|>", UNUSED), ("</s>", NORMAL), ("<|end|>", NORMAL)]


def byte_level(size=1400):
    """Tokens, types and merges of a BPE whose merges cross words, digits, spaces and newlines, so
    that only the pre-tokenizer keeps them apart."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False,
                                                              use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[], max_token_length=24, show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    model.train_from_iterator(corpus.training_text(), trainer)

    state = json.loads(model.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["merges"]]
    types = [NORMAL] * len(tokens)
    for token, kind in BPE_ADDED:
        if token not in tokens:
            tokens.append(token)
            types.append(NORMAL)
        types[tokens.index(token)] = kind
    return tokens, types, merges


def sentence_piece(size=1300):
    """Tokens, scores and types of a SentencePiece BPE with byte fallback."""
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "m"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus.training_text()), model_prefix=str(target),
            vocab_size=size, model_type="bpe", byte_fallback=True, character_coverage=0.98,
            normalization_rule_name="identity", remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, user_defined_symbols=["<tool>", "▁▁▁▁", "<tool_call>"],
            control_symbols=["<|im_start|>", "<|im_end|>"], minloglevel=2, num_threads=1)
        model = sentencepiece.SentencePieceProcessor(model_file=str(target) + ".model")
    tokens, scores, types = [], [], []
    for index in range(model.vocab_size()):
        piece = model.id_to_piece(index)
        # Converters store the spaces of user-defined tokens as spaces.
        is_user = piece in ("<tool>", "▁▁▁▁", "<tool_call>")
        tokens.append(piece.replace("▁", " ") if is_user else piece)
        scores.append(model.get_score(index))
        types.append(UNKNOWN if model.is_unknown(index) else CONTROL if model.is_control(index)
                     else BYTE if model.is_byte(index)
                     else USER if is_user else NORMAL)
    return tokens, scores, types


def write(path, model, tokens, types, scores=None, merges=None, pre=None, name="fixture",
          add_bos=None, add_eos=None, add_space_prefix=None, bos=None, eos=None):
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    if merges:
        writer.add_token_merges(merges)
    if bos is not None:
        writer.add_bos_token_id(bos)
    if eos is not None:
        writer.add_eos_token_id(eos)
    if add_bos is not None:
        writer.add_add_bos_token(add_bos)
    if add_eos is not None:
        writer.add_add_eos_token(add_eos)
    if add_space_prefix is not None:
        writer.add_add_space_prefix(add_space_prefix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
