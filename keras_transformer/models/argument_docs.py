"""The words for the arguments that all models have."""

SIZES = """num_heads: Number of attention heads H; it must divide `hidden_dim`.
        intermediate_dim: Inner width of the feed-forward networks (d_ff).
        dropout: Dropout rate on the sum of embedding and position, and on the output of
            each sub-layer (section 5.4)."""

OPTIONS = """norm_first: Whether layer normalization comes before each sub-layer
            (pre-norm); one more then ends each stack. The paper's is post-norm.
        activation: Activation of the feed-forward networks.
        attention_dropout: Dropout rate on attention weights; none in the paper.
        intermediate_dropout: Dropout rate inside the feed-forward networks; none in
            the paper.
        layer_norm_epsilon: Epsilon of the layer normalizations.
        use_bias: Whether the attention's projections have biases.
        scale_embedding: Whether embeddings are multiplied by `sqrt(hidden_dim)`."""

OF_KERAS = """seed: Seed of all dropouts; that of weights is
            `keras.utils.set_random_seed`.
        dtype: Dtype or dtype policy of all layers, such as `"mixed_bfloat16"`.
        name: Name of the model.
        trainable: Whether its weights are trained.

    Raises:
        TypeError: For an unknown argument; the nearest known one is named.
        ValueError: If a size isn't a positive integer, `num_heads` doesn't divide
            `hidden_dim`, or a rate or name is unknown."""
