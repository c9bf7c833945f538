"""How good answers are: sacreBLEU's metrics and its paired test, and exact match."""

from collections.abc import Iterable
from typing import Any

import sacrebleu
from sacrebleu.significance import PairedTest

from keras_transformer import arguments
from keras_transformer.texts import as_texts


def bleu(
    hypotheses: str | Iterable[str],
    references: str | Iterable[str],
    *,
    lowercase: bool = False,
) -> tuple[float, str]:
    """Corpus BLEU of detokenized text.

    Args:
        hypotheses: List of strings, or one string.
        references: List of strings, one for each hypothesis.
        lowercase: Whether to ignore case.

    Returns:
        A tuple of the score, 0 to 100, and sacreBLEU's signature, which says
        how it was computed.

    Raises:
        ValueError: If the lists differ in length or are empty.
        TypeError: If they aren't made of strings.

    Example:

    >>> score, signature = bleu(["a cat sat"], ["a cat sat"])

    Reference: [A Call for Clarity in Reporting BLEU Scores](https://arxiv.org/abs/1804.08771).
    """
    hypotheses, references = _aligned(hypotheses, references)
    metric = sacrebleu.metrics.BLEU(lowercase=lowercase)
    score = metric.corpus_score(hypotheses, [references]).score
    return score, str(metric.get_signature())


def moses_bleu(
    hypotheses: str | Iterable[str], references: str | Iterable[str], language: str
) -> tuple[float, str]:
    """Corpus BLEU of lower-cased, Moses-tokenized text, as older papers report it.

    Not comparable with `bleu`: report both, or `bleu`. Needs `sacremoses` (the extra
    `moses`).

    Args:
        hypotheses: List of strings, or one string.
        references: List of strings, one for each hypothesis.
        language: The language's code for Moses, such as `"de"`.

    Returns:
        A tuple of the score, 0 to 100, and sacreBLEU's signature.
    """
    import sacremoses

    hypotheses, references = _aligned(hypotheses, references)
    normalizer = sacremoses.MosesPunctNormalizer(language)
    tokenizer = sacremoses.MosesTokenizer(language)

    def prepare(text):
        text = normalizer.normalize(text.lower())
        return tokenizer.tokenize(text, return_str=True, escape=False)

    metric = sacrebleu.metrics.BLEU(tokenize="none", force=True)
    score = metric.corpus_score(
        [prepare(text) for text in hypotheses],
        [[prepare(text) for text in references]],
    ).score
    return score, str(metric.get_signature())


def chrf(
    hypotheses: str | Iterable[str],
    references: str | Iterable[str],
    word_order: int = 0,
) -> tuple[float, str]:
    """Corpus chrF of detokenized text: F2 of its characters' n-grams.

    Args:
        hypotheses: List of strings, or one string.
        references: List of strings, one for each hypothesis.
        word_order: Longest n-grams of words that count too; 2 is chrF++.

    Returns:
        A tuple of the score, 0 to 100, and sacreBLEU's signature.

    Raises:
        ValueError: If the lists differ in length or are empty.
        TypeError: If they aren't made of strings.

    Example:

    >>> score, signature = chrf(["a cat sat"], ["a cat sat"])

    Reference: [chrF](https://aclanthology.org/W15-3049).
    """
    hypotheses, references = _aligned(hypotheses, references)
    metric = sacrebleu.metrics.CHRF(word_order=word_order)
    score = metric.corpus_score(hypotheses, [references]).score
    return score, str(metric.get_signature())


def ter(
    hypotheses: str | Iterable[str], references: str | Iterable[str]
) -> tuple[float, str]:
    """Corpus translation edit rate: edits for each word of the references; 0 is best.

    Args:
        hypotheses: List of strings, or one string.
        references: List of strings, one for each hypothesis.

    Returns:
        A tuple of the rate in percent, and sacreBLEU's signature.

    Raises:
        ValueError: If the lists differ in length or are empty.
        TypeError: If they aren't made of strings.

    Example:

    >>> rate, signature = ter(["a cat sat"], ["a cat sat"])

    Reference: [TER](https://aclanthology.org/2006.amta-papers.25).
    """
    hypotheses, references = _aligned(hypotheses, references)
    metric = sacrebleu.metrics.TER()
    score = metric.corpus_score(hypotheses, [references]).score
    return score, str(metric.get_signature())


# What the command line and `compare` know by name.
METRICS = {"bleu": bleu, "chrf": chrf, "ter": ter}


def compare(
    systems: dict[str, Iterable[str]],
    references: Iterable[str],
    metrics: str | Iterable[str] = ("bleu",),
    samples: int = 1000,
) -> dict[str, dict[str, Any]]:
    """Whether systems differ by more than chance: sacreBLEU's paired bootstrap test.

    Args:
        systems: Dict of each system's name and its list of hypotheses, two or more. The
            first is the baseline that the others are compared with.
        references: List of strings, one for each hypothesis.
        metrics: Names: `"bleu"`, `"chrf"`, `"ter"`.
        samples: Number of bootstrap samples.

    Returns:
        A dict by the metric's name. Each value is a dict: `"signature"`, sacreBLEU's;
        and `"systems"`, a dict by the system's name of dicts with `"score"`, `"mean"`
        and `"confidence"` (half the 95 % interval) over the samples, and `"p_value"`:
        how probable such a difference to the baseline is if there is none; None for
        the baseline itself.

    Raises:
        ValueError: If there are fewer than two systems, lists differ in length or are
            empty, a metric isn't known, or `samples` isn't positive.
        TypeError: If hypotheses or references aren't made of strings.

    Example:

    >>> references = [f"a dog runs {i} times" for i in range(50)]
    >>> old = [f"dog runs {i} time" for i in range(50)]
    >>> found = compare({"old": old, "new": references}, references, metrics=["chrf"])
    >>> found["chrf"]["systems"]["new"]["p_value"] < 0.05
    True

    Reference: [Statistical Significance Tests for Machine Translation Evaluation](https://aclanthology.org/W04-3250).
    """
    samples = arguments.integer("samples", samples)
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in metrics:
        if name not in METRICS:
            raise ValueError(
                f"metrics must be among {sorted(METRICS)}; received {name!r}."
            )
    if not isinstance(systems, dict) or len(systems) < 2:
        raise ValueError(
            "systems must be a dict of two or more lists of hypotheses; received "
            f"systems={systems!r:.80}."
        )
    aligned = {name: _aligned(texts, references) for name, texts in systems.items()}
    references = next(iter(aligned.values()))[1]
    kinds = {
        "bleu": sacrebleu.metrics.BLEU,
        "chrf": sacrebleu.metrics.CHRF,
        "ter": sacrebleu.metrics.TER,
    }
    found = {}
    for name in dict.fromkeys(metrics):
        test = PairedTest(
            [(system, hypotheses) for system, (hypotheses, _) in aligned.items()],
            {name: kinds[name](references=[references])},
            references=None,
            test_type="bs",
            n_samples=samples,
        )
        signatures, scores = test()
        (signature,) = signatures.values()
        names, results = scores.values()
        found[name] = {
            "signature": str(signature),
            "systems": {
                system: _of_system(result, results[0])
                for system, result in zip(names, results)
            },
        }
    return found


def _of_system(result: Any, baseline: Any) -> dict[str, float | None]:
    """What a paired test found of a system."""
    p_value = result.p_value
    if p_value is not None and result.score == baseline.score:
        # sacreBLEU 2.6 counts larger differences alone: none is larger than none.
        p_value = 1.0
    return {
        "score": float(result.score),
        "mean": float(result.mean),
        "confidence": float(result.ci),
        "p_value": p_value,
    }


def exact_match(
    hypotheses: str | Iterable[str], references: str | Iterable[str]
) -> float:
    """Share of hypotheses that equal their reference, 0 to 1."""
    hypotheses, references = _aligned(hypotheses, references)
    hits = sum(h == r for h, r in zip(hypotheses, references))
    return hits / len(hypotheses)


def _aligned(hypotheses, references):
    """Both as lists of strings, one string as a list of one."""
    hypotheses, _ = as_texts(hypotheses, "hypotheses")
    references, _ = as_texts(references, "references")
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            "hypotheses and references must be of the same length, and not empty; "
            f"received {len(hypotheses)} and {len(references)}."
        )
    return hypotheses, references
