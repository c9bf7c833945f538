"""The model of a run, compiled; and what is checked before a run is started."""

from keras_transformer.models.transformer import Transformer
from keras_transformer.text import read_pairs
from keras_transformer.training import Adam, MaskedCrossentropy, WarmupInverseSqrt


def check_start(config):
    """Checks the texts and the model's arguments, before a run's first file is written.

    Args:
        config: A `RunConfig`.

    Raises:
        ValueError: If a text can't be read to its end or holds no pair, or an argument
            of the model is out of range.
        FileNotFoundError: If a text isn't there.
    """
    for source, target in (
        ("source", "target"),
        ("valid_source", "valid_target"),
    ):
        paths = getattr(config, source), getattr(config, target)
        if paths[0] and not sum(1 for _ in read_pairs(*paths)):
            raise ValueError(f"{source}={paths[0]!r} is empty: it holds no pair.")
    # The vocabulary is still unknown, and nothing depends on its size.
    sizes = [8] if config.joint_vocabulary else [8, 8]
    Transformer.from_preset(config.preset, *sizes, **config.model)


def new_model(config, source_tokenizer, target_tokenizer):
    """A new model, compiled as a `RunConfig` says.

    Args:
        config: A `RunConfig`.
        source_tokenizer: The source's `kt.text.Tokenizer`.
        target_tokenizer: The target's, which may be the same.
    """
    target_size = None
    if not config.joint_vocabulary:
        target_size = target_tokenizer.vocabulary_size
    model = Transformer.from_preset(
        config.preset,
        source_tokenizer.vocabulary_size,
        target_vocabulary_size=target_size,
        **config.model,
    )
    hidden_dim = model.config["hidden_dim"]
    counts = {
        "warmup_steps": config.warmup_steps,
        "accumulation_steps": config.accumulation_steps,
    }
    if config.peak_learning_rate is None:
        schedule = WarmupInverseSqrt(hidden_dim, **counts)
    else:
        peak = config.peak_learning_rate
        schedule = WarmupInverseSqrt.from_peak(peak, hidden_dim, **counts)
    accumulates = config.accumulation_steps > 1
    optimizer = Adam(
        schedule,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulation_steps if accumulates else None,
    )
    model.compile(optimizer, MaskedCrossentropy(config.label_smoothing))
    return model
