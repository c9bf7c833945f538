"""What all models share: configuration, presets, steps, dropout's random states."""

import functools
import warnings

import keras

from keras_transformer.decoding.compiled_search import CompiledSearch
from keras_transformer.decoding.options import as_options
from keras_transformer.layers.distance_bias import AlibiBias
from keras_transformer.layers.lora import (
    HasLora,
    base_weights,
    lora_layers,
    without_lora,
)
from keras_transformer.layers.position import LearnedPositionalEncoding
from keras_transformer.layers.quantization import check_mode, check_not_quantized
from keras_transformer.models.construction import Constructed
from keras_transformer.models.presets import PRESETS

_SYMMETRIC_ALIBI = (
    "position_encoding='alibi' in a configuration is version 0.1.0's ALiBi, with the "
    "same slopes on both sides: its encoder can't tell a source from the reversed one. "
    "A new model's position_encoding='alibi' can; for its configuration write "
    "'alibi_asymmetric'."
)
# In a saved model's compile configuration.
_LORA, _FROZEN = "lora", "frozen"


class TransformerModel(Constructed):
    """A functional model that is made anew from its constructor's arguments.

    Subclasses set `config`, their arguments by name, and `position`, the layer that is
    added to embeddings, or None. Those with a decoder set `_decoder`, its stack, and
    have `start_decoding`, which gives the caches for its steps.
    """

    # Whether answers go on from the source, instead of being another text.
    decoder_only = False
    # Of `generate`, where they aren't those of `SearchOptions`.
    search_defaults: dict = {}

    @classmethod
    def from_preset(cls, preset, *args, **kwargs):
        """A new model, with random weights, of a known size.

        Args:
            preset: `"base"` or `"big"` (the paper's), `"small"`, `"tiny"` or `"mini"`.
            *args: Sizes of vocabularies, as the constructor takes them.
            **kwargs: Any argument of the constructor; it overrides the preset's.

        Raises:
            ValueError: For an unknown preset.
            TypeError: For an unknown argument; the nearest known one is named.

        Example:

        >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
        """
        if preset not in PRESETS:
            raise ValueError(
                f"preset must be one of {sorted(PRESETS)}; received preset={preset!r}."
            )
        return cls(*args, **{**PRESETS[preset], **kwargs})

    @property
    def max_length(self):
        """Most positions of a sequence, or None if there is no such bound."""
        return getattr(self.position, "max_length", None)

    def with_max_length(self, max_length):
        """A copy of a model with learned positions, for longer or shorter sequences.

        Args:
            max_length: Number of positions of the copy, whose table is interpolated
                from this model's; all other weights are the same.

        Returns:
            A new model, not compiled.

        Raises:
            ValueError: If the model's positions aren't learned.

        Example:

        >>> model = kt.Transformer(100, position_encoding="learned")
        >>> model.with_max_length(1024).max_length
        1024
        """
        if not isinstance(self.position, LearnedPositionalEncoding):
            raise ValueError(
                "Only learned positions have a max_length; this model has "
                f"position_encoding={self.config['position_encoding']!r}."
            )
        check_not_quantized(self, "with_max_length")
        if lora_layers(self):
            return without_lora(self).with_max_length(max_length)
        position = LearnedPositionalEncoding.from_config(
            {**self.position.get_config(), "max_length": max_length}
        )
        position = keras.saving.serialize_keras_object(position)
        copy = type(self).from_config(
            {**self.get_config(), "position_encoding": position}
        )
        for old, new in zip(self.weights, copy.weights):
            if old is not self.position.embeddings:
                new.assign(old)
        copy.position.interpolate_from(self.position)
        return copy

    @functools.cached_property
    def _search(self):
        # No attribute that is set, in which Keras would look for layers.
        return CompiledSearch(self)

    def _generate(self, source_ids, options, changes):
        if options is None:
            changes = {**self.search_defaults, **changes}
        return self._search(source_ids, as_options(options).changed(**changes))

    def decode_step(
        self,
        target_ids,
        index,
        caches,
        mask=None,
        *,
        fixed_shapes=False,
        output_projection=None,
    ):
        """One step of decoding.

        Args:
            target_ids: Integer ids `(B N, T)`, the newest tokens of N hypotheses of
                each sentence; usually T is 1.
            index: Scalar integer, the position of the first of them.
            caches: From `start_decoding` or the step before.
            mask: Bool `(B, N, L)`, which cached positions each hypothesis descends
                from, if N is more than 1; see `kt.layers.MultiHeadAttention`.
            fixed_shapes: Whether the caches have a fixed length.
            output_projection: `target_embedding.output_projection()`, computed once for
                all steps. Logits then have its number of columns.

        Returns:
            A tuple of the logits `(B N, T, V)` and the next caches.
        """
        states, caches = self._step(target_ids, index, caches, mask, fixed_shapes)
        embedding = self.target_embedding
        logits = embedding(states, reverse=True, projection=output_projection)
        return logits, caches

    def fill_caches(
        self, target_ids, caches, *, fixed_shapes=False, return_states=False
    ):
        """The caches after the first tokens of a target, which are known.

        Args:
            target_ids: Integer ids `(B, T)`, the start token first.
            caches: From `start_decoding`.
            fixed_shapes: Whether the caches have a fixed length, T or more.
            return_states: Whether to return the tokens' hidden states too.

        Returns:
            The caches for `decode_step` at index T. Those of a fixed length serve for
            lower indices too: a step writes its own position anew. With `return_states`
            a tuple of the states `(B, T, D)` and the caches.

        Example:

        >>> caches = model.start_decoding(np.array([[17, 5]]))
        >>> caches = model.fill_caches(np.array([[2, 17]]), caches)
        >>> logits, caches = model.decode_step(np.array([[5]]), 2, caches)
        """
        states, caches = self._step(target_ids, 0, caches, None, fixed_shapes)
        return (states, caches) if return_states else caches

    def _step(self, target_ids, index, caches, mask, fixed_shapes):
        """The hidden states of some tokens, and the next caches."""
        states, others = self._decoder.run(
            target_ids,
            start_index=index,
            caches=caches,
            decoder_attention_mask=mask,
            cache_index=index if fixed_shapes else None,
        )
        return states, [cache for (cache,) in others]

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Turns kernels and embeddings into int8, to a quarter of their size.

        Answers stay close; what is quantized isn't trained any more. A file of the
        model loads again as it was saved.

        Args:
            mode: `"int8"`.
            config: None or `keras.quantizers.Int8QuantizationConfig()`.
            filters: Which layers: a regular expression of names, a list of them, or a
                function of the layer; by default all.

        Raises:
            ValueError: For another mode or quantizers of its own.

        Example:

        >>> model = kt.Transformer.from_preset("mini", source_vocabulary_size=500)
        >>> model.quantize("int8")
        """
        check_mode(config.mode if mode is None and config else mode, config)
        with warnings.catch_warnings():
            # Keras warns of what there is nothing to quantize in.
            warnings.filterwarnings("ignore", "Layer InputLayer does not have")
            super().quantize(mode, config=config, filters=filters, **kwargs)
        self.forget_compiled()

    def forget_compiled(self):
        """Drops what was compiled with the weights that there were before."""
        self.__dict__.pop("_search", None)
        self.train_function = self.test_function = self.predict_function = None

    def make_train_function(self, force=False):
        # TensorFlow traces a step twice if variables are made in it, as Keras leaves
        # the optimizer's to be.
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def get_compile_config(self):
        # What is trained is no argument of the constructor, and the optimizer has
        # moments of these weights alone. Weights have numbers: names of some layers
        # are Keras's, with a number of the process.
        config = super().get_compile_config()
        if not config:
            return config
        numbers = {id(weight): i for i, weight in enumerate(base_weights(self))}
        lora = {
            str(numbers[id(layer.lora_base)]): [layer.lora_rank, layer.lora_alpha]
            for layer in lora_layers(self)
        }
        frozen = [i for i, v in enumerate(base_weights(self)) if not v.trainable]
        return {
            **config,
            **({_LORA: lora} if lora else {}),
            **({_FROZEN: frozen} if frozen else {}),
        }

    def compile_from_config(self, config):
        config = dict(config)
        lora, frozen = config.pop(_LORA, {}), config.pop(_FROZEN, ())
        weights = self.weights
        layers = {
            id(layer.lora_base): layer
            for layer in self._flatten_layers()
            if lora and isinstance(layer, HasLora)
        }
        for number, (rank, alpha) in lora.items():
            layers[id(weights[int(number)])].enable_lora(rank, lora_alpha=alpha)
        for number in frozen:
            weights[number].trainable = False
        super().compile_from_config(config)

    def save_own_variables(self, store):
        # Keras leaves dropout's random states out of its files; with them, training
        # goes on from a file as if it had never stopped.
        super().save_own_variables(store)
        for number, state in enumerate(self._random_states()):
            store[f"random_state_{number}"] = state

    def load_own_variables(self, store):
        for number, state in enumerate(self._random_states()):
            if f"random_state_{number}" in store:
                state.assign(store[f"random_state_{number}"])

    def _random_states(self):
        return [
            layer.seed_generator.state
            for layer in self._flatten_layers()
            if getattr(layer, "seed_generator", None) is not None
        ]

    def get_config(self):
        self.refuse_hdf5()
        position = self.config["position_encoding"]
        if isinstance(position, str) and position == "alibi":
            position = "alibi_asymmetric"
        return {
            **self.config,
            "position_encoding": keras.saving.serialize_keras_object(position),
            "activation": keras.activations.serialize(
                keras.activations.get(self.config["activation"])
            ),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        position = keras.saving.deserialize_keras_object(
            config["position_encoding"], custom_objects=custom_objects
        )
        if isinstance(position, str) and position == "alibi":
            # What version 0.1.0 wrote: its encoders had the symmetric form.
            if not cls.decoder_only:
                warnings.warn(_SYMMETRIC_ALIBI, stacklevel=2)
            dtype = keras.dtype_policies.get(config.get("dtype"))
            position = AlibiBias(symmetric=True, dtype=dtype)
        elif isinstance(position, str) and position == "alibi_asymmetric":
            position = "alibi"
        return cls(**{**config, "position_encoding": position})
