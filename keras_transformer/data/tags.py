"""Tokens in front of source sentences, such as the language to translate to."""

from collections.abc import Sequence
from typing import Any

from keras_transformer import arguments
from keras_transformer.data.encoding import encode_texts

_SPACE = "\u2581"
_PROBE = "a A 1"


def tag_ids(
    tags: Sequence[str | None] | None, tokenizer: Any, count: int
) -> list[list[int]]:
    """The ids in front of each corpus's sources.

    They are those of the text `"<2de> A dog."` before the ones of `"A dog."`. So who
    translates writes the tag, a space and the sentence.

    Args:
        tags: A tag for each corpus, or None for none; None for no tags at all.
        tokenizer: The source's tokenizer.
        count: Number of corpora.

    Raises:
        TypeError: For tags that are no strings.
        ValueError: For another number of tags than of corpora, and a tag that isn't one
            token of the tokenizer.

    Example:

    >>> tokenizer = kt.text.train_tokenizer("train.en", 320, symbols=["<2de>"])
    >>> ids, none = tag_ids(["<2de>", None], tokenizer, 2)
    >>> tokenizer.tokens(ids), none
    (['▁', '<2de>'], [])
    """
    if tags is None:
        return [[]] * count
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Sequence):
        raise arguments.ArgumentTypeError(
            f"tags must be a list of tokens; received tags={tags!r}."
        )
    for tag in tags:
        if tag is not None and not isinstance(tag, str):
            raise arguments.ArgumentTypeError(
                f"tags must be strings or None; received tags={tags!r}."
            )
    if len(tags) != count:
        raise ValueError(
            f"tags must have one value for each of the {count} corpora; received "
            f"tags={tags!r}."
        )
    return [[] if tag is None else _ids(tag, tokenizer) for tag in tags]


def _ids(tag, tokenizer):
    ids, before, alone = (
        [int(i) for i in row]
        for row in encode_texts(tokenizer, [tag, f"{tag} {_PROBE}", _PROBE])
    )
    # A space of its own may come before it.
    pieces = [piece.replace(_SPACE, "") for piece in tokenizer.tokens(ids)]
    if [piece for piece in pieces if piece] != [tag] or before != ids + alone:
        raise ValueError(
            f"tags must be tokens of source_tokenizer; received {tag!r}, which it "
            f"splits into {pieces}. Train the tokenizer with it: "
            f"kt.text.train_tokenizer(files, symbols=[{tag!r}])."
        )
    return ids
