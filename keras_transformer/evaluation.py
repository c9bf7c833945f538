"""How good answers are: BLEU by sacreBLEU, and exact match."""

import sacrebleu


def bleu(hypotheses, references, lowercase=False):
    """Corpus BLEU of detokenized text.

    Args:
        hypotheses: List of strings.
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


def moses_bleu(hypotheses, references, language):
    """Corpus BLEU of lower-cased, Moses-tokenized text, as older papers report it.

    Not comparable with `bleu`: report both, or `bleu`. Needs `sacremoses` (the extra
    `moses`).

    Args:
        hypotheses: List of strings.
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


def exact_match(hypotheses, references):
    """Share of hypotheses that equal their reference, 0 to 1."""
    hypotheses, references = _aligned(hypotheses, references)
    hits = sum(h == r for h, r in zip(hypotheses, references))
    return hits / len(hypotheses)


def _aligned(hypotheses, references):
    """Both as lists of strings, checked."""
    lists = {"hypotheses": hypotheses, "references": references}
    for name, texts in lists.items():
        if isinstance(texts, str):
            raise TypeError(f"{name} must be a list of strings; received {texts!r}.")
        lists[name] = list(texts)
        for text in lists[name]:
            if not isinstance(text, str):
                raise TypeError(f"{name} must be strings; received {text!r} in them.")
    hypotheses, references = lists.values()
    if len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            "hypotheses and references must be of the same length, and not empty; "
            f"received {len(hypotheses)} and {len(references)}."
        )
    return hypotheses, references
