"""The weight formats of an export: one table for all that choose, check or name one."""

import dataclasses

from keras_transformer.texts import markdown_table


@dataclasses.dataclass(frozen=True)
class WeightFormat:
    """A way to store an export's weights and to compute with them.

    Args:
        name: What `weights` calls it.
        dtype: The dtype that the graph computes in without XLA.
        size: Size of the export's weights; float32's is 1.
        arithmetic: What is multiplied without XLA, in words.
        processor: What the server's processor needs, in words.
        in_int8: Whether matrices are stored as int8, with a scale for each row of an
            embedding and each column of a kernel.
        operation: The operation of oneDNN's that tells it from the others, or None. A
            format with one needs a TensorFlow with oneDNN.
        risk: What happens on a server that lacks what `operation` needs.
        instead: The format to choose there.
    """

    name: str
    dtype: str
    size: str
    arithmetic: str
    processor: str
    in_int8: bool = False
    operation: str | None = None
    risk: str | None = None
    instead: str | None = None


FORMATS = {
    each.name: each
    for each in (
        WeightFormat(
            "float32",
            dtype="float32",
            size="1",
            arithmetic="float32, also of a model trained in `mixed_bfloat16`",
            processor="any",
        ),
        WeightFormat(
            "bfloat16",
            dtype="bfloat16",
            size="1/2",
            arithmetic="bfloat16",
            processor="any; slow where it has no instructions for bfloat16",
        ),
        WeightFormat(
            "bfloat16_packed",
            dtype="bfloat16",
            size="1/2",
            arithmetic="bfloat16, each kernel kept in the order that it is multiplied "
            "fastest in",
            processor="AVX-512",
            operation="_MklNativeFusedMatMul",
            risk="Products of packed kernels: the server ends at the first, unless it "
            "has oneDNN and its processor has AVX-512.",
            instead="bfloat16",
        ),
        WeightFormat(
            "int8",
            dtype="bfloat16",
            size="1/4",
            arithmetic="bfloat16, multiplied out once a request",
            processor="any; slow where it has no instructions for bfloat16",
            in_int8=True,
        ),
        WeightFormat(
            "int8_products",
            dtype="bfloat16",
            size="1/4 to 1/2",
            arithmetic="int8 for large kernels, each row of numbers quantized by its "
            "own greatest; for others as `bfloat16_packed`",
            processor="AVX-512 that multiplies int8 (VNNI)",
            in_int8=True,
            operation="_QuantizedMatMul",
            risk="Products of int8: their sums overflow, and answers are wrong, unless "
            "the server's processor multiplies int8 (AVX-512 VNNI, AVX-VNNI or AMX).",
            instead="int8",
        ),
    )
}
# Those whose matmuls are oneDNN's own operations.
ONEDNN_FORMATS = tuple(name for name, each in FORMATS.items() if each.operation)


def check_weights(name: str) -> WeightFormat:
    """Returns the `WeightFormat` of that name.

    Raises:
        ValueError: For an unknown one.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(
            f"weights must be one of {tuple(FORMATS)}; received weights={name!r}."
        )
    return FORMATS[name]


def table() -> str:
    """The formats as a table of Markdown: what docs/serving.md shows."""
    rows = [
        ("`--weights`", "size", "arithmetic without XLA", "the server's processor"),
        *(
            (f"`{each.name}`", each.size, each.arithmetic, each.processor)
            for each in FORMATS.values()
        ),
    ]
    return markdown_table(rows)


def in_short() -> str:
    """The formats in a line, for the command line's help."""
    return "; ".join(
        f"{each.name} (size {each.size}{_needs(each)})" for each in FORMATS.values()
    )


def _needs(each):
    return f", needs {each.processor}" if each.operation else ""
