"""Translator, generator or encoder -> SavedModel that stock TF Serving loads."""

import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_transformer import arguments
from keras_transformer.files import written_aside
from keras_transformer.serving.checks.folders import version_number
from keras_transformer.serving.clean_process import ask_in_clean_process
from keras_transformer.serving.encoding import EncodingSignatures
from keras_transformer.serving.equal_operations import merge_equal_operations
from keras_transformer.serving.generation import GenerationSignatures
from keras_transformer.serving.signatures import Signatures
from keras_transformer.serving.translation import TranslationSignatures
from keras_transformer.serving.warmup import write_warmup
from keras_transformer.serving.weights import check_weights
from keras_transformer.tasks.text_encoder import TextEncoder
from keras_transformer.tasks.text_generator import TextGenerator
from keras_transformer.tasks.translator import Translator
from keras_transformer.texts import as_texts


def export_saved_model(
    text_model: Translator | TextGenerator | TextEncoder,
    folder: str | os.PathLike,
    *,
    beam_size: int | None = None,
    num_hypotheses: int | None = None,
    length_penalty: float | None = None,
    max_length: int | None = None,
    weights: str = "float32",
    signatures: Iterable[str] | None = None,
    xla_buckets: Iterable[tuple[int, int]] = (),
    parallel_searches: int = 1,
    warmup_batch_sizes: Iterable[int] = (1, 8),
    warmup_texts: Iterable[str] | None = None,
    warmup_signatures: Iterable[str] | None = None,
    xla_warmup: bool = False,
    verify: bool = False,
    keep: int | None = None,
) -> str:
    """Writes the next version of a SavedModel: text in, text out, search inside.

    The graph holds core TensorFlow and TF Text operations only, so that the stock
    server loads it. Each version is written aside and renamed: a server that polls
    the folder never sees half a model. Requests for the server's warm-up lie beside it.

    Signatures:

    | name | inputs | outputs |
    | --- | --- | --- |
    | `serving_default` | `text` string (B,) | `translation` string (B,), `score` float32 (B,), `truncated` bool (B,) |
    | `n_best` | `text` string (B,) | `translations` string (B, n), `scores` float32 (B, n), `truncated` bool (B,) |
    | `translate` | `text`, `num_hypotheses` int32, `length_penalty` float32, `max_length` int32 (0: source + `extra_length`), `target_prefix` string, each (B,) or (1,) | as `n_best`, and `num_hypotheses` int32 (B,), `bounded` bool (B,), `error` string (B,) |
    | `with_options` | `text` string (B,), `options` string (B,) or (1,), such as `"num_hypotheses=3 max_length=20"` | as `translate` |
    | `glossary` | `text` string (B,), `glossary_source`, `glossary_target` string (B, G), `options` string (B,) or (1,), such as `"force=1"` or `"bonus=3"` | as `translate` |
    | `document` | `text`, `length_penalty`, `max_length`, `target_prefix`, as `translate` | `translation` string (B,), `num_sentences` int32 (B,), `truncated`, `bounded` bool (B,), `error` string (B,) |
    | `document_with_options` | `text` string (B,), `options` string (B,) or (1,) | as `document` |
    | `split` | `text` string (B,) | `pieces` string (B, P), `num_pieces` int32 (B,), `sentences` string (B, N), `num_sentences` int32 (B,) |
    | `stream` | `text` string (B,), `output_ids` int32 (B, T), `output_length`, `num_tokens` int32 (B,) | `translation` string (B,), `output_ids` int32 (B, L), `output_length` int32 (B,), `finished`, `truncated` bool (B,), `error` string (B,) |
    | `score` | `text`, `reference` string (B,) | `log_prob` float32 (B,), `num_tokens` int32 (B,), `truncated` bool (B,) |
    | `explain` | `text` string (B,) | `translation`, `tokens` string (B, T), `log_probs` float32 (B, T), `aligned_source` int32 (B, T), `num_tokens` int32 (B,), `source_tokens` string (B, S), `num_source_tokens` int32 (B,), `truncated` |
    | `encode` | `text` string (B,) | `embedding` float32 (B, D), mean of the encoder's output, `truncated` |
    | `token_ids` | `source_ids` int32 (B, S), `source_length` int32 (B,) | `output_ids` int32 (B, L), `output_length` int32 (B,), `score` float32 (B,), `truncated` bool (B,), `error` string (B,) |

    A text without a visible character is its own answer, and no model sees it.
    `document` translates texts of any number of sentences; `stream` goes on from the
    tokens that an answer has so far (`kt.serving.RestClient.stream`).

    Each row is answered as if it were alone, whatever requests a server joins. Outputs
    are as wide as the longest row needs. `num_hypotheses`, `num_tokens`,
    `num_source_tokens` and `output_length` say how many columns are a row's own; the
    others are `""`, 0, or a score of -1e9. A row that can't be answered has its reason
    in `error`, no text and the score -1e9. `bounded` marks rows with an option outside
    of the export's limits, which got the nearest value within them.

    Those of a text generator: `serving_default`, `generate`, which samples, and
    `with_options`:

    | name | inputs | outputs |
    | --- | --- | --- |
    | `serving_default` | `text` string (B,) | `generated` string (B,), `score` float32 (B,), `truncated` bool (B,) |
    | `generate` | `text`, `max_new_tokens` int32, `temperature` float32, `top_p` float32, `seed` int32, each (B,) or (1,) | the same, and `bounded` bool (B,), `error` string (B,) |
    | `with_options` | `text` string (B,), `options` string (B,) or (1,), such as `"sample=1 seed=3"` | as `generate` |

    Those of a text encoder; `serving_default` is the last that there is:

    | name | inputs | outputs |
    | --- | --- | --- |
    | `embed` | `text` string (B,) | `embedding` float32 (B, D), `truncated` bool (B,) |
    | `classify` | `text` string (B,) | `label` string (B,), `scores` float32 (B, C), `truncated` bool (B,) |

    Args:
        text_model: A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`; the
            options of a search are for the first two.
        folder: The model's folder; the versions 1, 2, ... are folders in it.
        beam_size: Number of hypotheses followed at once; 1 is greedy search. By
            default, as the next, the translator's own, or the paper's 4.
        num_hypotheses: Number n of answers of `n_best`; by default `beam_size`.
        length_penalty: Exponent alpha of the length penalty; or 0.6.
        max_length: Most tokens of an answer; by default its source's plus 50.
        weights: Name of a weight format: `"float32"`, `"bfloat16"`, `"int8"`,
            `"bfloat16_packed"` or `"int8_products"`. docs/serving.md has a table of
            their sizes, their arithmetic, and what a server needs. Signatures that XLA
            compiles compute in float32 with any of them, and answer alike, but for
            rounding.
        signatures: Names of the signatures to write beside `serving_default`; by
            default all of them. Fewer load faster.
        xla_buckets: Pairs `(batch_size, source_length)`. With some, the export has
            `serving_default_xla` and `token_ids_xla` too, compiled by XLA for these
            shapes, for servers started with `--xla_cpu_compilation_enabled`: the stock
            server refuses them otherwise. Requests larger than all of them are
            answered without XLA. The export has the decoder's kernels a second time
            then, transposed, as XLA multiplies faster with them.
        parallel_searches: Number of searches that a batch of many sentences is shared
            out to, for servers with as many inter-op threads, and one intra-op thread:
            one search alone leaves threads idle between its small operations. Large
            products in float32 of a single sentence are computed in as many parts.
        warmup_batch_sizes: Batch sizes of the warm-up requests; none for no warm-up.
            All signatures are asked in the first, `serving_default` in all of them.
        warmup_texts: Texts of the warm-up requests, used in turn; by default some
            pieces of the vocabulary.
        warmup_signatures: Names of the signatures that the warm-up asks beside
            `serving_default`; by default all that are written. A server is ready
            sooner with fewer; the first request to another one takes seconds.
        xla_warmup: Whether the warm-up asks the signatures that XLA compiles too, so
            that no user waits for XLA. A server without
            `--xla_cpu_compilation_enabled` doesn't load the model then.
        verify: Whether to load the export in a process of its own, as the server
            does, and compare its answers, before it gets its name.
        keep: Number of versions to keep, the new one among them; older ones are
            deleted. By default all are kept.

    Returns:
        The path of the new version.

    Raises:
        ValueError: For search options out of range or of no use to this kind of model,
            unknown `weights`, `signatures` or `warmup_signatures`, or no positive `parallel_searches` or
            `keep`.
        RuntimeError: If `verify` finds other answers, or for `weights` that this
            machine can't multiply.

    Example:

    >>> kt.serving.export_saved_model(translator, "saved_models/en-de")
    'saved_models/en-de/1'
    """  # noqa: E501
    check_weights(weights)
    if parallel_searches < 1:
        raise ValueError(
            f"parallel_searches must be positive; received {parallel_searches!r}."
        )
    if keep is not None:
        arguments.integer("keep", keep)
    texts, _ = as_texts([] if warmup_texts is None else warmup_texts, "warmup_texts")
    texts = texts or [_sample_text(text_model)]
    graphs = signature_graphs(
        text_model,
        weights,
        xla_buckets,
        parallel_searches,
        num_hypotheses,
        beam_size=beam_size,
        length_penalty=length_penalty,
        max_length=max_length,
    )
    functions = _chosen(graphs.functions(), signatures, "signatures")
    warmed = _chosen(functions, warmup_signatures, "warmup_signatures")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = (version_number(path.name) for path in folder.iterdir())
    path = folder / str(max(filter(None, numbers), default=0) + 1)
    # Its name isn't a number, so the server doesn't take it for a version.
    with written_aside(path, replace=False) as aside:
        tf.saved_model.save(
            graphs.resources(),
            str(aside),
            signatures=functions,
            options=tf.saved_model.SaveOptions(experimental_debug_stripper=True),
        )
        merge_equal_operations(aside)
        # A warm-up that fails keeps the server from loading the model.
        buckets = xla_buckets if xla_warmup else ()
        requests = [
            (name, inputs)
            for name, inputs in _warmup_requests(
                graphs, texts, warmup_batch_sizes, buckets
            )
            if name in warmed
        ]
        if requests:
            write_warmup(aside, requests, xla=xla_warmup)
        if verify:
            _verify(graphs, aside, [*texts, "", "Na\u00efve \U0001f600!"])
    if keep is not None:
        _delete_old_versions(folder, keep)
    return str(path)


def _delete_old_versions(folder, keep):
    """Deletes all versions but the newest `keep`; whatever is no version stays."""
    versions = [
        path
        for path in folder.iterdir()
        if version_number(path.name) is not None and not path.is_symlink()
        if (path / "saved_model.pb").is_file()
    ]
    versions.sort(key=lambda path: version_number(path.name))
    for path in versions[:-keep]:
        shutil.rmtree(path)


def signature_graphs(
    text_model: Translator | TextGenerator | TextEncoder,
    weights: str = "float32",
    xla_buckets: Iterable[tuple[int, int]] = (),
    parallel_searches: int = 1,
    num_hypotheses: int | None = None,
    **search: Any,
) -> Signatures:
    """The signatures of a text model, which an export writes: a `Signatures`.

    Args:
        text_model: A `kt.Translator`, `kt.TextGenerator` or `kt.TextEncoder`.
        weights: As the others, see `export_saved_model`.
    """
    for_translators = {"xla_buckets": xla_buckets, "num_hypotheses": num_hypotheses}
    if isinstance(text_model, TextEncoder):
        searches = parallel_searches if parallel_searches > 1 else None
        _refuse(
            text_model, {**for_translators, "parallel_searches": searches, **search}
        )
        return EncodingSignatures(text_model, weights)
    search = text_model.options(**search)
    common = {
        "weights": weights,
        "parallel_searches": parallel_searches,
        "search": search,
    }
    if isinstance(text_model, TextGenerator):
        _refuse(text_model, for_translators)
        return GenerationSignatures(text_model, **common)
    num_hypotheses = num_hypotheses or search.beam_size
    search.changed(num_hypotheses=num_hypotheses)
    return TranslationSignatures(
        text_model,
        num_hypotheses,
        xla_buckets=xla_buckets,
        **common,
    )


def _refuse(text_model, options):
    """Raises a ValueError for options that an export of this kind has no use for."""
    given = {name: value for name, value in options.items() if value}
    if given:
        raise ValueError(
            f"An export of a {type(text_model).__name__} has no use for "
            f"{', '.join(f'{n}={v!r}' for n, v in given.items())}; leave it out."
        )


def _chosen(functions, names, argument):
    if names is None:
        return functions
    names = list(names)
    unknown = sorted(set(names) - set(functions))
    if unknown:
        raise ValueError(
            f"{argument} must be among {sorted(functions)}; received {unknown}."
        )
    return {name: functions[name] for name in ("serving_default", *names)}


def _sample_text(text_model, length=20):
    """Some text of the source's vocabulary, as long as a sentence."""
    tokenizer = text_model.source_tokenizer
    size = tokenizer.vocabulary_size
    ids = [size // 2 + (i * (size // 2)) // length for i in range(length)]
    return (
        tokenizer.detokenize(tf.constant([ids])).numpy()[0].decode("utf-8", "replace")
    )


def _warmup_requests(graphs, texts, batch_sizes, xla_buckets):
    """Requests to all signatures in the first batch size, to the main ones in all.

    Another batch size makes a signature prepare hardly anything anew, but for those
    that have a graph of their own for a single text.
    """
    requests = []
    for number, size in enumerate(batch_sizes):
        found = graphs.requests([texts[i % len(texts)] for i in range(size)])
        requests += [
            (name, inputs)
            for name, inputs in found
            if number == 0 or name in graphs.main_names
        ]
    for batch_size, source_length in sorted(xla_buckets):
        # Of full size, so that each bucket's program is compiled.
        ids = tf.fill([batch_size, source_length], tf.constant(4))
        lengths = tf.fill([batch_size], source_length)
        inputs = {"source_ids": ids.numpy(), "source_length": lengths.numpy()}
        requests.append(("token_ids_xla", inputs))
    return requests


def _verify(graphs, path, texts):
    found = ask_in_clean_process(path, "serving_default", {"text": texts})
    for name, expected in graphs.answers(texts).items():
        for text, answer, right in zip(texts, found[name], expected.numpy()):
            right = right.decode("utf-8") if isinstance(right, bytes) else right
            if isinstance(right, str):
                same = answer == right
            else:
                # Half precision rounds otherwise in another order.
                same = np.allclose(answer, right, rtol=1e-2, atol=1e-2)
            if not same:
                raise RuntimeError(
                    f"The export answers {answer!r} to {text!r}, but it should be "
                    f"{right!r}; nothing was exported."
                )
