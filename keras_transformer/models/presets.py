"""Sizes of models: the paper's, and the small ones that the examples train."""

PRESETS = {
    # Table 3 of the paper.
    "base": {
        "num_layers": 6,
        "hidden_dim": 512,
        "num_heads": 8,
        "intermediate_dim": 2048,
        "dropout": 0.1,
    },
    "big": {
        "num_layers": 6,
        "hidden_dim": 1024,
        "num_heads": 16,
        "intermediate_dim": 4096,
        "dropout": 0.3,
    },
    # A base model's depth for two thirds, its width for a half.
    "small": {
        "num_layers": 4,
        "hidden_dim": 256,
        "num_heads": 4,
        "intermediate_dim": 1024,
        "dropout": 0.1,
    },
    # For some 30,000 sentence pairs, as in Multi30k
    # (Wu et al. 2021, https://arxiv.org/abs/2105.14462).
    "tiny": {
        "num_layers": 4,
        "hidden_dim": 128,
        "num_heads": 4,
        "intermediate_dim": 256,
        "dropout": 0.3,
    },
    # For short strings with small vocabularies, such as dates.
    "mini": {
        "num_layers": 2,
        "hidden_dim": 128,
        "num_heads": 4,
        "intermediate_dim": 256,
        "dropout": 0.1,
    },
}
