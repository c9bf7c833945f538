"""What attention asks of a position encoding that acts inside of it."""

from keras_transformer.layers.checked_layer import CheckedLayer


class AttentionPosition(CheckedLayer):
    """What `MultiHeadAttention` asks of a position encoding; each kind answers a part.

    It is built with the shape of an attention's heads, `(B, H, T, K)`. Positions are
    int32 vectors, `(T,)` of the queries and `(S,)` of the keys.
    """

    # Whether `context_bias` gives anything: then attention can't be fused.
    adds_to_context = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def rotate(self, heads, positions):
        """Queries or keys `(B, H, T, K)`, changed before they meet."""
        return heads

    def score_bias(self, queries, query_positions, key_positions):
        """What is added to the scores, in a shape broadcastable to `(B, H, T, S)`.

        `queries` are already divided by `sqrt(K)`. None adds nothing.
        """
        return None

    def context_bias(self, weights, query_positions, key_positions):
        """What is added to the weighted sum of the values, `(B, H, T, K)`."""
        raise NotImplementedError

    def check_heads(self, num_heads, head_dim):
        """Raises a ValueError if the layer was built for heads of another size."""

    def compute_output_shape(self, input_shape, *other_shapes):
        return input_shape


def check_same(name, value, built):
    """Raises a ValueError unless `value` is what a layer was built with."""
    if built not in (None, value):
        raise ValueError(
            f"Attentions that share a position_encoding must have the same {name}; "
            f"received {name}={value} for a layer built with {name}={built}."
        )
