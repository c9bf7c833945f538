"""What a run leaves for people: its model card, and samples in TensorBoard."""

import json
import pathlib

import keras
import pytest

import keras_transformer as kt
from keras_transformer.run import RunConfig, train
from keras_transformer.training.metrics_file import read_metrics

SIZES = {"num_layers": 1, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 16}


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A run in a folder deep in this machine, with 50 pairs and a strange one."""
    folder = tmp_path_factory.mktemp("someones-home")
    for name, path in zip(("train.a", "train.b"), corpus):
        lines = pathlib.Path(path).read_text("utf-8").splitlines()[:50]
        lines = ["<b>a | dog</b>", *lines]
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    source, target = folder / "train.a", folder / "train.b"
    config = RunConfig(
        source,
        target,
        valid_source=source,
        valid_target=target,
        model={**SIZES, "norm_first": True},
        vocabulary_size=300,
        tokens_per_batch=256,
        steps=2,
        steps_per_epoch=1,
        bleu_sentences=3,
        samples=2,
    )
    train(config, folder / "run", verbose=0)
    return folder / "run"


def test_the_model_card_says_what_the_model_is_of_and_how_good(run):
    text = (run / "MODEL_CARD.md").read_text("utf-8")
    model = kt.Translator.load(run / "translator").model
    assert f"{model.count_params():,} parameters" in text
    assert "| `norm_first` | `True` |" in text and "| `hidden_dim` | `16` |" in text
    assert "`train.a`<br>`train.b`" in text and "| training |" in text
    prints = json.loads((run / "fingerprints.json").read_text("utf-8"))
    assert prints["source"] in text and prints["target"] in text
    assert "| 51 |" in text
    rows = read_metrics(run / "metrics.csv")
    for number, row in enumerate(rows, 1):
        loss, bleu = (float(row[name]) for name in ("val_loss", "val_bleu"))
        assert f"| {number} | {number} | {loss:.4f} | {bleu:.4f} |" in text
    assert "nrefs:1\\|case:mixed" in text or "nrefs:1|case:mixed" in text
    assert "TO BE FILLED IN" in text and "# run" in text
    assert "| `steps` | `2` |" in text and "| `label_smoothing` | `0.1` |" in text


def test_the_model_card_names_no_path_of_the_machine(run):
    text = (run / "MODEL_CARD.md").read_text("utf-8")
    for part in run.resolve().parts[:-1]:
        assert part == "/" or part not in text, part


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="summaries")
def test_tensorboard_has_each_epoch_s_translations_and_attention(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = (run / "tensorboard" / "held_out").glob("events*")
    events = EventAccumulator(str(path), size_guidance={"tensors": 0}).Reload()
    names = ["attention/0", "attention/1", "translations"]
    assert sorted(events.Tags()["tensors"]) == names
    for name in names:
        assert [event.step for event in events.Tensors(name)] == [0, 1]
    (table,) = events.Tensors("translations")[0].tensor_proto.string_val
    head, _, first, second = table.decode("utf-8").splitlines()
    assert head == "| source | translation | reference |"
    # Markdown's bars are escaped; what TensorBoard makes of HTML is its own care.
    assert first.startswith("| <b>a \\| dog</b> | ") and second.count(" | ") == 2
    width, height, png = events.Tensors("attention/0")[0].tensor_proto.string_val
    assert int(width) > 50 and int(height) > 50 and png.startswith(b"\x89PNG")
