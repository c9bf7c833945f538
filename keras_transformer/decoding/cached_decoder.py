"""A model's decoder with its caches, as the search asks for it step by step."""

import keras
from keras import ops

from keras_transformer.compilation import wants_fixed_shapes
from keras_transformer.layers import cache


class CachedDecoder:
    """Steps of a model's decoder, for several hypotheses of each sentence.

    Of the caches, the search's loop carries what a step changes. The rest, keys and
    values of the source, are among what is known of each sentence.

    Args:
        model: A `kt.Transformer` or a `kt.LanguageModel`.
        projection: The model's `target_embedding.output_projection()`.
        num_hypotheses: Number of hypotheses of each sentence.
        fixed_shapes: Whether caches have a fixed length. Otherwise each step makes them
            longer. None leaves it to Keras's backend.
    """

    def __init__(self, model, projection, num_hypotheses, *, fixed_shapes=None):
        if fixed_shapes is None:
            fixed_shapes = wants_fixed_shapes()
        self.fixed_shapes = fixed_shapes
        self.has_prompts = model.decoder_only
        self.vocabulary_size = model.target_embedding.vocabulary_size
        self.num_hypotheses = num_hypotheses
        self._model = model
        self._projection = projection
        # Values, which are read once; as variables they would be at each step.
        self._weights = [
            (v, ops.stop_gradient(v))
            for v in model.weights
            if keras.backend.is_float_dtype(v.dtype)
        ]

    def start(self, source_ids, length=1):
        """The caches before the first step.

        Args:
            source_ids: Integer ids `(B, S)`, 0 is padding.
            length: Number of positions of caches of fixed length, hypotheses counted
                singly.

        Returns:
            A tuple of what steps change, and of what they only read.
        """
        caches = self._model.start_decoding(source_ids, length)
        changing, read = cache.split(caches)
        if not self.fixed_shapes:
            changing = cache.emptied(changing, source_ids)
        return changing, read

    def fill(self, changing, read, ids):
        """The caches after the first tokens of each sentence, all its hypotheses' own.

        Args:
            changing: Caches from `start`, for one hypothesis of each sentence.
            read: Caches that are only read, from `start`.
            ids: Integer ids `(B, T)`, the start token first.

        Returns:
            A tuple of the caches and of the hidden states `(B, T, D)` of the tokens.
        """
        with keras.StatelessScope(state_mapping=self._weights):
            states, caches = self._model.fill_caches(
                ids,
                cache.join(changing, read),
                fixed_shapes=self.fixed_shapes,
                return_states=True,
            )
        return self.repeat(cache.split(caches)[0]), states

    def repeat(self, changing):
        """The caches of one hypothesis of each sentence, for all its hypotheses."""
        return cache.repeat(changing, self.num_hypotheses)

    def logits(self, states):
        """The logits `(B, T, V)` of hidden states `(B, T, D)`."""
        with keras.StatelessScope(state_mapping=self._weights):
            embedding = self._model.target_embedding
            return embedding(states, reverse=True, projection=self._projection)

    def grow(self, changing, length):
        """The caches with a longer fixed length."""
        return cache.grow(changing, length, self.num_hypotheses)

    def step(self, ids, index, changing, sentences, mask):
        """The next tokens' logits and caches; see `search`."""
        mask = cache.cut_mask(
            mask,
            changing,
            None if self.fixed_shapes else index,
            self.num_hypotheses,
        )
        with keras.StatelessScope(state_mapping=self._weights):
            logits, caches = self._model.decode_step(
                ids,
                index,
                cache.join(changing, sentences["caches"]),
                mask=mask,
                fixed_shapes=self.fixed_shapes,
                output_projection=self._projection,
            )
        return logits, cache.split(caches)[0]
