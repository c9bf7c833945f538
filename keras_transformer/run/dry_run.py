"""What a run would be like, from a few of its steps."""

import dataclasses
import itertools
import pathlib
import resource
import sys
import tempfile
import time

from keras_transformer.data.report import left_out
from keras_transformer.run.batches import data_of_run, mixture_in_words
from keras_transformer.run.config import RunConfig
from keras_transformer.run.folder import RunFolder
from keras_transformer.run.model import new_model
from keras_transformer.run.start import check_start
from keras_transformer.training import get_strategy

# The first step includes compilation.
_STEPS = 4
_SHOWN = 3
# Weight, gradient and Adam's two moments, in float32.
_BYTES = 16


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What `dry_run` finds; its string is a report.

    Attributes:
        report: The `kt.data.CorpusReport`.
        mixture: A line for each of several corpora.
        parameters: Number of the model's parameters.
        state_bytes: Memory of weights, gradients and the optimizer's moments.
        peak_bytes: Most memory that the process has had, text and program included.
        first_seconds: Time of the first step, compilation included.
        step_seconds: Time of a later step.
        steps: Number of steps of the run.
        rows: Number of pairs of the first batch.
        batch: Pairs of strings, the first of the first batch, as the model reads them.
    """

    report: object
    mixture: list
    parameters: int
    state_bytes: int
    peak_bytes: int
    first_seconds: float
    step_seconds: float
    steps: int
    rows: int
    batch: list

    def __str__(self):
        report = self.report
        shown = [f"  {source}\n    -> {target}" for source, target in self.batch]
        hours = self.step_seconds * self.steps / 3600
        return "\n".join(
            [
                f"pairs       {report.pairs:,}",
                f"dropped     {left_out(report.dropped)}",
                *(f"corpus      {line}" for line in self.mixture),
                f"tokens      {report.source_tokens:,} source, "
                f"{report.target_tokens:,} target",
                f"parameters  {self.parameters:,}",
                f"memory      {self.state_bytes / 1e6:,.0f} MB for weights, gradients "
                f"and moments; this process took {self.peak_bytes / 1e6:,.0f} MB",
                f"time        {self.step_seconds:.2f} s a step after the first, which "
                f"takes {self.first_seconds:.1f} s; {hours:.1f} h for {self.steps:,} "
                "steps, without validation",
                f"first batch {self.rows:,} pairs, such as",
                *shown,
            ]
        )


def dry_run(config: RunConfig) -> DryRun:
    """Takes a few steps of a run, and writes nothing.

    Args:
        config: A `RunConfig`.

    Returns:
        A `DryRun`.

    Raises:
        ValueError: As `train`, if texts or arguments are wrong.
        FileNotFoundError: If a text isn't there.
    """
    strategy = get_strategy(config.strategy)
    check_start(config)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(pathlib.Path(folder) / "run", config)
        run.prepare()
        tokenizers = run.tokenizers()
    batches, _ = data_of_run(config, tokenizers, strategy)
    with strategy.scope():
        model = new_model(config, *tokenizers)
    steps = _STEPS * config.accumulation_steps
    first, *others = itertools.islice(batches.from_step(0), steps)
    times = []
    for batch in (first, *others):
        start = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - start)
    # A later shape is compiled, too; the fastest step is none of these.
    step_seconds = min(times[1:], default=times[0]) * config.accumulation_steps
    inputs, labels = first[:2]
    rows = [
        tokenizer.detokenize(ids).numpy()
        for tokenizer, ids in zip(tokenizers, (inputs["source_ids"], labels))
    ]
    parameters = model.count_params()
    return DryRun(
        report=batches.report,
        mixture=mixture_in_words(config, batches.report),
        parameters=parameters,
        state_bytes=parameters * _BYTES,
        peak_bytes=_peak_bytes(),
        first_seconds=times[0],
        step_seconds=step_seconds,
        steps=config.steps,
        rows=len(rows[0]),
        batch=[
            tuple(text.decode("utf-8", "replace") for text in pair)
            for pair in zip(*(side[:_SHOWN] for side in rows))
        ],
    )


def _peak_bytes():
    # Kilobytes, but on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
