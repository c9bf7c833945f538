"""A translation in pieces, from a server that answers whole requests."""

from collections.abc import Callable, Iterator
from typing import Any

from keras_transformer.serving.requests import ServingError

# What the next tokens may change at the end of an answer: half a character, spaces,
# and opening quotes, before which a space depends on the next letter.
_UNSURE = "\ufffd \t\r\n\u3000\"'“‘«(["


def streamed(
    ask: Callable[..., dict[str, Any]], text: str, num_tokens: int
) -> Iterator[str]:
    """Yields the translation of a text in pieces.

    Args:
        ask: Function of a signature's name and its inputs, as that of a client.
        text: A string.
        num_tokens: Number of tokens that each request adds.
    """
    found = ask("split", text=[text])
    sentences = iter(found["sentences"][0])
    last = []
    for piece, is_blank in _with_blank(found["pieces"][0]):
        if is_blank:
            last = [(piece, None)]
            yield piece
            continue
        # White space between two sentences depends on both: see `join_document`.
        shown = _joined(last)
        for answer, finished in _answers(ask, next(sentences), num_tokens):
            if finished:
                last.append((piece, answer))
                ready = _joined(last)
            else:
                # What follows the sentence comes with its end.
                ready = _joined([*last, (piece.rstrip(), answer)]).rstrip(_UNSURE)
            if ready.startswith(shown) and len(ready) > len(shown):
                yield ready[len(shown) :]
                shown = ready
        last = last[-1:]


def _answers(ask, sentence, num_tokens):
    """Yields the answer to a sentence as it grows, and whether it is whole."""
    ids, finished = [], False
    while not finished:
        found = ask(
            "stream",
            text=[sentence],
            output_ids=[ids or [0]],
            output_length=[len(ids)],
            num_tokens=[num_tokens],
        )
        if found["error"][0]:
            raise ServingError(found["error"][0])
        ids, finished = found["output_ids"][0], found["finished"][0]
        yield found["translation"][0], finished


def _with_blank(pieces):
    """Pairs of pieces and whether they have no visible character."""
    from keras_transformer.text.documents import is_blank

    return list(zip(pieces, is_blank(pieces).numpy().tolist())) if pieces else []


def _joined(pieces):
    """The translation of neighbouring pieces.

    Args:
        pieces: List of pairs of a piece and its translation, None of a blank one.
    """
    import tensorflow as tf

    from keras_transformer.text.documents import join_document

    if not pieces:
        return ""
    translations = [answer for _, answer in pieces if answer is not None]
    joined = join_document(
        tf.constant(translations, tf.string),
        tf.ragged.constant([[piece for piece, _ in pieces]], tf.string),
    )
    return joined.numpy()[0].decode("utf-8", "replace")
