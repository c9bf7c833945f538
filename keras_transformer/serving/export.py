"""Translator -> SavedModel that stock TF Serving loads."""

import os
import pathlib
import shutil

import tensorflow as tf
from keras import ops

from keras_transformer.decoding.generate import check_search


def export_saved_model(
    translator,
    folder,
    *,
    beam_size=4,
    num_hypotheses=None,
    length_penalty=0.6,
    max_length=None,
):
    """Writes the next version of a SavedModel: text in, text out, search inside.

    The graph holds core TensorFlow and TF Text operations only, so that the stock
    server loads it. Each version is written aside and renamed: a server that polls
    the folder never sees half a model.

    Signatures:

    | name | inputs | outputs |
    | --- | --- | --- |
    | `serving_default` | `text` string (B,) | `translation` string (B,), `score` float32 (B,), `truncated` bool (B,) |
    | `n_best` | `text` string (B,) | `translations` string (B, n), `scores` float32 (B, n), `truncated` bool (B,) |
    | `score` | `text`, `reference` string (B,) | `log_prob` float32 (B,), `num_tokens` int32 (B,) |
    | `token_ids` | `source_ids` int32 (B, S), `source_length` int32 (B,) | `output_ids` int32 (B, L), `score` float32 (B,) |

    Args:
        translator: A `kt.Translator`.
        folder: The model's folder; the versions 1, 2, ... are folders in it.
        beam_size: Number of hypotheses followed at once; 1 is greedy search.
        num_hypotheses: Number n of answers of `n_best`; by default `beam_size`.
        length_penalty: Exponent alpha of the length penalty.
        max_length: Most tokens of an answer; by default its source's plus 50.

    Returns:
        The path of the new version.

    Raises:
        ValueError: For search options out of range.

    Example:

    >>> kt.serving.export_saved_model(translator, "saved_models/en-de")
    'saved_models/en-de/1'
    """  # noqa: E501
    num_hypotheses = num_hypotheses or beam_size
    check_search(
        beam_size=beam_size,
        num_hypotheses=num_hypotheses,
        length_penalty=length_penalty,
        max_length=max_length,
    )
    module = _Serving(
        translator,
        num_hypotheses,
        beam_size=beam_size,
        length_penalty=length_penalty,
        max_length=max_length,
    )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Not a number, so the server doesn't take it for a version.
    aside = folder / f"writing-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        tf.saved_model.save(
            module,
            str(aside),
            signatures={
                "serving_default": module.serving_default,
                "n_best": module.n_best,
                "score": module.score,
                "token_ids": module.token_ids,
            },
            options=tf.saved_model.SaveOptions(experimental_debug_stripper=True),
        )
        versions = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
        path = folder / str(max(versions, default=0) + 1)
        os.rename(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return str(path)


class _Serving(tf.Module):
    """The signatures, and the weights that they need tracked."""

    def __init__(self, translator, num_hypotheses, **search):
        super().__init__()
        self._translator = translator
        self._num_hypotheses = num_hypotheses
        self._search = search
        self.weights = [variable.value for variable in translator.model.variables]

    # A function of its own, so that two signatures share one copy of the search.
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def _best(self, source_ids):
        return self._translator.search(source_ids, num_hypotheses=1, **self._search)

    def _texts(self, ids):
        """Ids `(B, n, L)` -> strings `(B, n)`."""
        flat = tf.reshape(ids, [-1, tf.shape(ids)[-1]])
        texts = self._translator.target_tokenizer.detokenize(flat)
        # REST takes valid UTF-8 only; byte fallback can spell other bytes.
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return tf.reshape(texts, tf.shape(ids)[:2])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(self, text):
        source_ids, truncated = self._translator.encode(text)
        found = self._best(source_ids.to_tensor())
        return {
            "translation": self._texts(found["ids"])[:, 0],
            "score": found["scores"][:, 0],
            "truncated": truncated,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def n_best(self, text):
        source_ids, truncated = self._translator.encode(text)
        count = self._num_hypotheses
        found = self._translator.search(
            source_ids.to_tensor(), num_hypotheses=count, **self._search
        )
        return {
            "translations": tf.ensure_shape(self._texts(found["ids"]), [None, count]),
            "scores": found["scores"],
            "truncated": truncated,
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.string, name="reference"),
        ]
    )
    def score(self, text, reference):
        translator = self._translator
        tokenizer = translator.target_tokenizer
        source_ids, _ = translator.encode(text)
        target = tokenizer.tokenize(reference)
        start = tf.fill([target.nrows(), 1], tokenizer.start_id)
        end = tf.fill([target.nrows(), 1], tokenizer.end_id)
        labels = tf.concat([target, end], axis=1).to_tensor()
        logits = translator.model(
            {
                "source_ids": source_ids.to_tensor(),
                "target_ids": tf.concat([start, target], axis=1).to_tensor(),
            },
            training=False,
        )
        log_probs = -tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        real = labels > 0
        return {
            "log_prob": tf.reduce_sum(tf.where(real, log_probs, 0.0), axis=1),
            "num_tokens": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="source_ids"),
            tf.TensorSpec([None], tf.int32, name="source_length"),
        ]
    )
    def token_ids(self, source_ids, source_length):
        # A server that pads ids itself doesn't pad with zero: lengths tell.
        real = tf.sequence_mask(source_length, tf.shape(source_ids)[1])
        found = self._best(ops.where(real, source_ids, 0))
        return {"output_ids": found["ids"][:, 0], "score": found["scores"][:, 0]}
