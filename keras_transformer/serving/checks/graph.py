"""Operations of a graph: what the stock server, its flags or a processor lacks."""

from collections.abc import Iterator

from tensorflow.python.framework import op_def_registry, versions

from keras_transformer.serving.checks.finding import (
    ADVICE,
    FAILS,
    STOPS,
    Finding,
    Version,
    called_by,
)
from keras_transformer.serving.onednn import check_products
from keras_transformer.serving.weights import FORMATS, ONEDNN_FORMATS

# TF Serving links TensorFlow's own operations and these of TF Text 2.21.
_TEXT_OPERATIONS = frozenset(
    """
    CaseFoldUTF8 ConstrainedSequence FastBertNormalize FastWordpieceTokenizeWithOffsets
    FindSourceOffsets MaxSpanningTree NormalizeUTF8 NormalizeUTF8WithOffsetsMap
    PhraseTokenize RegexSplitWithOffsets RougeL SentenceFragments SentenceFragmentsV2
    SentencepieceDetokenizeOp SentencepieceIdToStringOp SentencepieceOp
    SentencepieceStringToIdOp SentencepieceTokenizeOp
    SentencepieceTokenizeWithOffsetsOp SentencepieceVocabSizeOp
    SplitMergeTokenizeWithOffsets TFText>BoiseTagsToOffsets TFText>ByteSplitByOffsets
    TFText>ByteSplitWithOffsets TFText>FastSentencepieceDetokenize
    TFText>FastSentencepieceTokenize TFText>FastWordpieceDetokenize
    TFText>NgramsStringJoin TFText>OffsetsToBoiseTags TFText>PhraseDetokenize
    TFText>RoundRobinGenerateMasks TFText>RoundRobinTrim TFText>Utf8Binarize
    TFText>WhitespaceTokenizeWithOffsetsV2 TokenizerFromLogits
    UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets
    WordpieceTokenizeWithOffsets
    """.split()
)
_PYTHON_OPERATIONS = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc"))


def check_operations(version: Version) -> Iterator[Finding]:
    """Operations and functions that the server can't find."""
    operations = {node.op for node in version.all_nodes()} - set(version.functions)
    python = sorted(operations & _PYTHON_OPERATIONS)
    if python:
        yield Finding(
            FAILS,
            f"Operations that call Python: {', '.join(python)}. The server has none: "
            "write them with TensorFlow's own.",
        )
    unknown = sorted(
        name
        for name in operations - _TEXT_OPERATIONS - _PYTHON_OPERATIONS
        if not op_def_registry.get(name) or name.startswith("Addons>")
    )
    if unknown:
        yield Finding(
            STOPS,
            f"Operations that the stock server lacks: {', '.join(unknown)}. Build a "
            "server with them, or use those of TensorFlow and TF Text.",
        )
    called = {name for node in version.all_nodes() for name in called_by(node)}
    if missing := sorted(called - set(version.functions)):
        yield Finding(
            STOPS,
            f"Functions are called that the graph lacks: {', '.join(missing)}. Export "
            "the model again.",
        )
    needed = version.meta.graph_def.versions.min_consumer
    if needed > versions.GRAPH_DEF_VERSION:
        yield Finding(
            STOPS,
            f"The graph needs a TensorFlow that reads graphs of version {needed}; this "
            f"one reads {versions.GRAPH_DEF_VERSION}. Use the server of the TensorFlow "
            "that wrote it.",
        )


def check_processor(version: Version) -> Iterator[Finding]:
    """Matrix multiplications that some processors don't have."""
    operations = {node.op for node in version.all_nodes()}
    for name in ONEDNN_FORMATS:
        risk, operation = FORMATS[name].risk, FORMATS[name].operation
        if operation not in operations:
            continue
        try:
            check_products(name)
        except RuntimeError as error:
            yield Finding(FAILS, f"{risk} This machine's hasn't: {error}")
        else:
            yield Finding(ADVICE, f"{risk} This machine's has.")


def check_xla(version: Version) -> Iterator[Finding]:
    """Signatures that need a flag of the server's."""
    if version.xla_signatures:
        yield Finding(
            FAILS,
            f"XLA must compile (jit_compile=True) {', '.join(version.xla_signatures)}: "
            "a server without --xla_cpu_compilation_enabled loads the model, fails "
            "each request of these, and answers the others. Start the server with the "
            "flag (server-config --xla), or export without XLA.",
        )
