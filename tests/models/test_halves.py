"""EncoderModel and LanguageModel: one half of the Transformer each."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_transformer as kt
from keras_transformer.layers import MaskedPooling

SIZES = {"num_layers": 2, "hidden_dim": 16, "num_heads": 2, "intermediate_dim": 32}
POSITIONS = ["sinusoidal", "learned", "rotary", "relative", "t5", "alibi", None]
IDS = np.array([[5, 6, 7, 8, 9], [9, 4, 0, 0, 0]])


def language_model(**options):
    keras.utils.set_random_seed(0)
    model = kt.LanguageModel(30, seed=0, **SIZES, **options)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.2 * keras.random.normal(weight.shape))
    return model


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_is_the_transformer_s_encoder(norm_first):
    whole = kt.Transformer(30, norm_first=norm_first, **SIZES)
    half = kt.EncoderModel(30, norm_first=norm_first, **SIZES)
    mine = {weight.path: weight for weight in whole.trainable_weights}
    for weight in half.trainable_weights:
        weight.assign(mine[weight.path])
    np.testing.assert_allclose(
        numpy(half(IDS))[0], numpy(whole.encode(IDS))[0], atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_padding_never_changes_a_sentence_s_vector(pooling):
    model = kt.EncoderModel(30, pooling=pooling, **SIZES)
    alone = numpy(model(IDS[1:, :2]))
    np.testing.assert_allclose(numpy(model(IDS))[1], alone[0], atol=1e-5)


def test_pooling_is_over_real_positions():
    states = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    mask = np.array([[True, True, False], [False, False, False]])
    mean = numpy(MaskedPooling("mean")(states, mask=mask))
    np.testing.assert_allclose(mean[0], states[0, :2].mean(axis=0), atol=1e-6)
    largest = numpy(MaskedPooling("max")(states, mask=mask))
    np.testing.assert_allclose(largest[0], states[0, :2].max(axis=0))
    assert not mean[1].any() and not largest[1].any()
    with pytest.raises(ValueError, match="pooling='sum'"):
        MaskedPooling("sum")


@pytest.mark.parametrize("position_encoding", POSITIONS)
def test_later_tokens_never_change_earlier_logits(position_encoding):
    model = language_model(position_encoding=position_encoding)
    changed = IDS.copy()
    changed[0, 3:] = 20
    before, after = numpy(model(IDS)), numpy(model(changed))
    np.testing.assert_allclose(before[0, :3], after[0, :3], atol=1e-5)
    assert abs(before[0, 3:] - after[0, 3:]).max() > 1e-3


@pytest.mark.parametrize(
    "prompts",
    [
        [[5, 6, 7], [9], []],
        [[5, 6, 7, 9], [4, 5, 6]],
        [[5, 3, 7, 3], [3], [4, 3, 3, 6, 3]],  # 3 is the end token
    ],
)
@pytest.mark.parametrize("position_encoding", POSITIONS)
@pytest.mark.long
def test_greedy_text_is_that_of_full_passes(position_encoding, prompts):
    model = language_model(position_encoding=position_encoding)
    found = numpy(model.generate(prompts, max_length=8)["ids"])[:, 0]
    for prompt, answer in zip(prompts, found):
        ids = [2, *prompt]
        while len(ids) < 9 and (len(ids) == 1 + len(prompt) or ids[-1] != 3):
            logits = numpy(model(np.array([ids])))[0, -1]
            logits[[0, 2]] = -1e9
            ids.append(int(logits.argmax()))
        assert answer[: len(ids) - 1].tolist() == ids[1:]


@pytest.mark.parametrize("fixed_shapes", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 3, "num_hypotheses": 2},
        {"beam_size": 1, "no_repeat_ngram_size": 2, "min_length": 7},
        {"sample": True, "num_hypotheses": 2, "seed": 4},
    ],
)
@pytest.mark.parametrize(
    "prompts, max_length",
    [
        ([[5, 6, 7, 5, 6], [4, 5, 6, 7, 0]], 9),
        ([[5, 6, 7, 5, 3], [4, 5, 3, 7, 8]], 9),  # 3 is the end token
        ([[5, 6, 7, 5, 6], [4, 5, 6, 7, 8]], np.array([2, 8])),
    ],
)
@pytest.mark.long
def test_a_prompt_at_once_is_what_it_is_step_by_step(
    prompts, max_length, options, fixed_shapes, monkeypatch
):
    model = language_model()

    def generate():
        return kt.decoding.generate(
            model,
            np.array(prompts),
            max_length=max_length,
            longest=9,
            fixed_shapes=fixed_shapes,
            **options,
        )

    found = generate()
    module = sys.modules["keras_transformer.decoding.prefill"]
    monkeypatch.setattr(module, "shared_length", lambda *_: 0)
    expected = generate()
    np.testing.assert_array_equal(numpy(found["ids"]), numpy(expected["ids"]))
    np.testing.assert_allclose(
        numpy(found["scores"]), numpy(expected["scores"]), atol=1e-4
    )


@pytest.mark.parametrize("max_length", [None, 8])
def test_filled_caches_serve_the_steps_after_them(max_length):
    model, fixed = language_model(), max_length is not None
    caches = model.start_decoding(IDS[:1], max_length)
    caches = model.fill_caches(np.array([[2, 5, 6]]), caches, fixed_shapes=fixed)
    # Those of a fixed length also serve steps before their end.
    for known in ([2, 5, 6], [2, 5])[: 1 + fixed]:
        logits, _ = model.decode_step(
            np.array([[9]]), len(known), caches, fixed_shapes=fixed
        )
        expected = model(np.array([[*known, 9]]))
        np.testing.assert_allclose(
            numpy(logits)[0, -1], numpy(expected)[0, -1], atol=1e-5
        )


def test_what_all_prompts_have_takes_no_steps(monkeypatch):
    steps, decode_step = [], kt.LanguageModel.decode_step

    def counted(self, ids, index, *rest, **options):
        steps.append(int(index))
        return decode_step(self, ids, index, *rest, **options)

    monkeypatch.setattr(kt.LanguageModel, "decode_step", counted)
    prompts = np.array([[5, 6, 7, 8, 9], [9, 4, 5, 6, 0]])
    kt.decoding.generate(language_model(), prompts, beam_size=1, max_length=7)
    assert steps == [4, 5, 6]


def test_beam_search_finds_nothing_worse_than_greedy():
    model = language_model()
    greedy = model.generate(IDS[:, :2], max_length=7, length_penalty=0.0)
    beam = model.generate(
        IDS[:, :2], max_length=7, length_penalty=0.0, beam_size=6, num_hypotheses=2
    )
    assert np.all(numpy(beam["scores"])[:, 0] >= numpy(greedy["scores"])[:, 0] - 1e-5)
    np.testing.assert_array_equal(
        numpy(beam["ids"])[:, :, :2], np.repeat(IDS[:, None, :2], 2, axis=1)
    )


@pytest.mark.parametrize("name", ["EncoderModel", "LanguageModel"])
def test_files_and_half_precision(name, tmp_path):
    options = {"pooling": "mean"} if name == "EncoderModel" else {}
    model = getattr(kt, name)(30, dtype="mixed_bfloat16", **SIZES, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        numpy(ops.cast(loaded(IDS), "float32")), numpy(ops.cast(model(IDS), "float32"))
    )
    assert loaded.get_config() == model.get_config()
    small = getattr(kt, name).from_preset("mini", 50)
    assert small.config["hidden_dim"] == 128


def test_learns_to_tell_two_words_apart():
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(0)
    ids = generator.integers(4, 30, (512, 6))
    ids[:, 2] = generator.integers(4, 6, 512)
    # Which of two words comes third; both may come elsewhere too.
    labels = ids[:, 2] - 4
    model = kt.EncoderModel(30, num_classes=2, dropout=0.0, **SIZES)
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(ids, labels, epochs=25, batch_size=32, verbose=0)
    assert model.evaluate(ids, labels, verbose=0)[1] > 0.95
