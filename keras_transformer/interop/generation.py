"""Transformers' settings of a search <-> ours."""

import pathlib
import warnings
from typing import Any

from keras_transformer.reading import field, read_json
from keras_transformer.tasks.translator import Translator

GENERATION = "generation_config.json"
_STOP_WHEN = {False: "likely", True: "full", "never": "certain"}
# What changes answers and has no counterpart here, and the value that changes nothing.
# None, false and empty lists never do.
_NOT_HONOURED = {
    "begin_suppress_tokens": None,
    "constraints": None,
    "diversity_penalty": 0,
    "dola_layers": None,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1,
    "exponential_decay_length_penalty": None,
    "force_bos_token_to_be_generated": None,
    "force_words_ids": None,
    "forced_bos_token_id": None,
    "guidance_scale": 1,
    "max_time": None,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "penalty_alpha": 0,
    "repetition_penalty": 1,
    "sequence_bias": None,
    "stop_strings": None,
    "token_healing": None,
    "watermarking_config": None,
}
# These change answers where tokens are drawn.
_OF_SAMPLING = {
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "min_p": 0,
    "top_h": None,
    "typical_p": 1,
}
_HONOURED = (
    "bad_words_ids",
    "decoder_start_token_id",
    "do_sample",
    "early_stopping",
    "eos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "num_beams",
    "renormalize_logits",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
)
# Names, outputs beside the answers, caches: the answers stay the same.
_OF_NO_ACCOUNT = (
    "_commit_hash",
    "_from_model_config",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "disable_compile",
    "is_assistant",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "remove_invalid_values",
    "return_dict_in_generate",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "trust_remote_code",
    "use_cache",
    "use_mtp",
)
_NEITHER = object()


class GenerationSettings:
    """How a checkpoint is to be searched, by its `generation_config.json`.

    Older checkpoints have these settings in `config.json`.

    Args:
        folder: Path of the checkpoint.
        config: The content of its `config.json`.
        config_path: The path of that.

    Attributes:
        path: Path of the file that the settings are from.
        start_id, end_id: Ids of the checkpoint that start and end an answer.

    Raises:
        ValueError: For a value of another type or out of range; file and key are named.

    Warns:
        UserWarning: For settings that would change answers and aren't honoured; it
            lists keys and values.
    """

    def __init__(
        self, folder: pathlib.Path, config: dict[str, Any], config_path: pathlib.Path
    ) -> None:
        self.path, self._found = folder / GENERATION, config
        has_own = self.path.exists()
        if has_own:
            self._found = read_json(
                self.path, "the generation settings of a checkpoint"
            )
        else:
            self.path = config_path
        self._passed_over = self._without_counterpart(warn_of_unknown=has_own)
        self.start_id = self._special_id("decoder_start_token_id", config, config_path)
        self.end_id = self._special_id("eos_token_id", config, config_path)

    def _without_counterpart(self, warn_of_unknown):
        neutral = dict(_NOT_HONOURED)
        if self._found.get("do_sample"):
            neutral.update(_OF_SAMPLING)
        found = {}
        known = {*_HONOURED, *_OF_NO_ACCOUNT, *_NOT_HONOURED, *_OF_SAMPLING}
        for name, value in self._found.items():
            is_unknown = warn_of_unknown and name not in known
            is_off = value is None or value is False or value == [] or value == {}
            if is_off or not (name in neutral or is_unknown):
                continue
            if value != neutral.get(name, _NEITHER):
                found[name] = value
        return found

    def _get(self, name, kinds, default=None):
        return field(self._found, name, self.path, kinds, default)

    def _special_id(self, name, config, config_path):
        """The id of a special token; of several end tokens, the first."""
        settings, path = self._found, self.path
        if settings.get(name) is None:
            settings, path = config, config_path
        value = field(settings, name, path, (int, list))
        if isinstance(value, list):
            if not value or not all(type(i) is int for i in value):
                raise ValueError(f"{path}: {name} must be ids; received {value}.")
            if len(value) > 1:
                self._passed_over[name] = value
            value = value[0]
        return value

    def search_options(self, first: int, vocabulary_size: int) -> dict[str, Any]:
        """The options of `kt.decoding.generate` that the settings stand for.

        Args:
            first: Our id of the checkpoint's id 0.
            vocabulary_size: Number of the checkpoint's target ids.
        """
        stop = self._found.get("early_stopping")
        stop = False if stop is None else stop
        if isinstance(stop, (list, dict)) or stop not in _STOP_WHEN:
            raise ValueError(
                f'{self.path}: early_stopping must be true, false or "never"; received '
                f"early_stopping={stop!r}."
            )
        options = {
            "beam_size": self._get("num_beams", int, 1),
            "length_penalty": self._get("length_penalty", (int, float), 1.0),
            "penalty_form": "power",
            "stop_when": _STOP_WHEN[stop],
            "force_end": self._forces_end(),
            **self._lengths(),
            **self._sampling(),
        }
        if ngram_size := self._get("no_repeat_ngram_size", int, 0):
            options["no_repeat_ngram_size"] = ngram_size
        banned = self._banned(vocabulary_size) - {self.start_id}
        options["banned_ids"] = sorted(i + first for i in banned)
        return options

    @property
    def renormalizes(self) -> bool:
        """Whether what is never generated has no probability at all."""
        return self._get("renormalize_logits", bool, False)

    def warn(self) -> None:
        """Warns of what isn't honoured, once all else is right."""
        partly = [name for name in ("min_length", "min_new_tokens") if self._over(name)]
        partly += (
            ["no_repeat_ngram_size"] if self._over("no_repeat_ngram_size", 0) else []
        )
        if self.renormalizes and partly:
            self._passed_over["renormalize_logits"] = True
        if self._passed_over:
            words = ", ".join(
                f"{k}={v!r}" for k, v in sorted(self._passed_over.items())
            )
            warnings.warn(
                f"{self.path} has settings that aren't honoured here, so that answers "
                f"may differ from Transformers': {words}.",
                stacklevel=3,
            )

    def _over(self, name, least=1):
        return self._get(name, int, 0) > least

    def _forces_end(self):
        forced = self._get("forced_eos_token_id", (int, list))
        if forced not in (None, self.end_id, [self.end_id]):
            self._passed_over["forced_eos_token_id"] = forced
        return forced is not None

    def _lengths(self):
        """Theirs count the start token, but for numbers of new tokens."""
        options = {}
        most, new = (self._get(n, int) for n in ("max_length", "max_new_tokens"))
        if new is not None or most is not None:
            options["max_length"] = most - 1 if new is None else new
            if options["max_length"] < 1:
                raise ValueError(
                    f"{self.path}: answers must have a token; received "
                    f"max_length={most}, max_new_tokens={new}. max_length counts the "
                    "start token."
                )
        least, new = (self._get(n, int) for n in ("min_length", "min_new_tokens"))
        least = (least or 0) if new is None else new + 1
        if least > 1:
            options["min_length"] = least
        return options

    def _sampling(self):
        if not self._get("do_sample", bool, False):
            return {}
        if self._get("num_beams", int, 1) > 1:
            # Sampling within a beam search.
            self._passed_over["do_sample"] = True
            return {}
        return {
            "sample": True,
            "temperature": self._get("temperature", (int, float), 1.0),
            "top_k": self._get("top_k", int, 50) or None,
            "top_p": self._get("top_p", (int, float), 1.0),
        }

    def _banned(self, vocabulary_size):
        """The checkpoint's ids that are never generated."""
        words = self._get("bad_words_ids", list, [])
        if not all(isinstance(word, list) and word for word in words):
            raise ValueError(
                f"{self.path}: bad_words_ids must be a list of lists of ids; received "
                f"bad_words_ids={words}."
            )
        if longer := [word for word in words if len(word) > 1]:
            self._passed_over["bad_words_ids"] = longer
        banned = [word[0] for word in words if len(word) == 1]
        # As Transformers, which never bans the end token by this name.
        banned = [i for i in banned if i != self.end_id]
        banned += self._get("suppress_tokens", list, [])
        for i in banned:
            if type(i) is not int or not 0 <= i < vocabulary_size:
                raise ValueError(
                    f"{self.path}: bad_words_ids and suppress_tokens must be ids below "
                    f"vocab_size={vocabulary_size}; received {i!r}."
                )
        return set(banned)


def generation_config(
    translator: Translator, config: dict[str, Any], first: int
) -> dict[str, Any]:
    """The content of `generation_config.json` for a translator's options.

    Args:
        translator: A `kt.Translator`.
        config: The content of `config.json`.
        first: Our id of the checkpoint's id 0.
    """
    options = translator.options()
    banned = {config["pad_token_id"], config["decoder_start_token_id"]}
    banned |= {i - first for i in options.banned_ids}
    special = ("pad_token_id", "eos_token_id", "decoder_start_token_id")
    early_stopping = {ours: theirs for theirs, ours in _STOP_WHEN.items()}
    found = {
        "num_beams": options.beam_size,
        "length_penalty": options.length_penalty,
        "max_length": (options.max_length or translator.max_source_length) + 1,
        "early_stopping": early_stopping[options.stop_when],
        "bad_words_ids": [[i] for i in sorted(banned)],
        **{name: config[name] for name in special},
    }
    if options.force_end:
        found["forced_eos_token_id"] = config["eos_token_id"]
    for name in ("min_length", "no_repeat_ngram_size"):
        if value := getattr(options, name):
            found[name] = value
    if options.sample:
        found.update(
            num_beams=1,
            do_sample=True,
            temperature=options.temperature,
            top_k=options.top_k or 0,
            top_p=options.top_p,
        )
    return found
