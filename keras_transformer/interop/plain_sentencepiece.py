"""SentencePiece models that others read as our tokenizers read theirs."""

import functools
import io
import pathlib
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from keras_transformer.tasks.translator import Translator
from keras_transformer.text.tokenizer import ESCAPED, Tokenizer
from keras_transformer.text.vocabulary_tokenizer import VocabularyTokenizer


def check_tokenizers(translator: Translator) -> None:
    """Raises a ValueError for tokenizers that are no single SentencePiece model."""
    for side in ("source", "target"):
        tokenizer = getattr(translator, f"{side}_tokenizer")
        if not isinstance(tokenizer, (Tokenizer, VocabularyTokenizer)):
            raise ValueError(
                "The format holds SentencePiece models: the "
                f"{side}_tokenizer must be a kt.text.Tokenizer or "
                f"kt.text.VocabularyTokenizer; received a {type(tokenizer).__name__}."
            )


def plain_model(tokenizer: Tokenizer | VocabularyTokenizer) -> bytes:
    """The serialized model, for programs that only know SentencePiece.

    A `Tokenizer` puts a space before a text and escapes two characters itself. Here the
    model's own normalizer does so, and its denormalizer takes both back.

    Args:
        tokenizer: A `Tokenizer` or a `VocabularyTokenizer`.
    """
    if not isinstance(tokenizer, Tokenizer) or not tokenizer.escapes:
        return tokenizer.model
    escaping = _escaping_model()
    model = sentencepiece_model_pb2.ModelProto.FromString(tokenizer.model)
    normalizer, denormalizer = model.normalizer_spec, model.denormalizer_spec
    normalizer.name = "user_defined"
    normalizer.precompiled_charsmap = escaping.normalizer_spec.precompiled_charsmap
    normalizer.add_dummy_prefix = True
    denormalizer.precompiled_charsmap = escaping.denormalizer_spec.precompiled_charsmap
    denormalizer.add_dummy_prefix = False
    denormalizer.remove_extra_whitespaces = False
    denormalizer.escape_whitespaces = False
    return model.SerializeToString()


@functools.cache
def _escaping_model():
    """A model of any text: only SentencePiece's trainer compiles its rules."""
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, name) for name in ("escape.tsv", "back.tsv")]
        rules = [(_code_points(one), _code_points(two)) for one, two in ESCAPED.items()]
        for path, pairs in zip(paths, (rules, [pair[::-1] for pair in rules])):
            lines = "".join(f"{one}\t{two}\n" for one, two in pairs)
            path.write_text(lines, encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c"]),
            model_writer=model,
            vocab_size=7,
            model_type="char",
            hard_vocab_limit=False,
            normalization_rule_tsv=str(paths[0]),
            denormalization_rule_tsv=str(paths[1]),
            minloglevel=2,
        )
    return sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())


def _code_points(text):
    return " ".join(f"{ord(character):X}" for character in text)
