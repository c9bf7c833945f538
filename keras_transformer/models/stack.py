"""A stack of blocks, the encoder's or the decoder's (figure 1), written once."""

from keras import ops


class Stack:
    """Embedding, positions, dropout, blocks and normalization, one after the other.

    A model's functional graph, its encoder alone, attention scores, prefill and single
    steps of decoding all go through here.

    Args:
        embedding: Layer from integer ids `(B, T)` to vectors `(B, T, D)`.
        position: Layer that adds positions to vectors, or None.
        embedding_norm: Layer that normalizes their sum, or None, as in the paper.
        dropout: Dropout layer of the sum.
        blocks: List of encoder blocks or of decoder blocks.
        norm: Layer that normalizes the last block's output, or None.
    """

    def __init__(self, embedding, position, embedding_norm, dropout, blocks, norm):
        self.embedding = embedding
        self.position = position
        self.embedding_norm = embedding_norm
        self.dropout = dropout
        self.blocks = blocks
        self.norm = norm

    def states(self, ids, *memory, **arguments):
        """The hidden states `(B, T, D)` of ids `(B, T)`; arguments as for `run`."""
        return self.run(ids, *memory, **arguments)[0]

    def run(self, ids, *memory, start_index=None, caches=None, **arguments):
        """The hidden states of ids, and whatever else each block returns.

        Args:
            ids: Integer ids `(B, T)`.
            *memory: The encoder's output, for blocks with cross-attention.
            start_index: Scalar integer, the position of the first of the ids; 0 if it
                is left out.
            caches: List with a cache for each block.
            **arguments: What each block is called with.

        Returns:
            A tuple of the states `(B, T, D)`, and a list with a tuple for each block:
            its attention scores and its next cache, if it was asked for them.
        """
        x = self._embed(ids, start_index)
        others = []
        for number, block in enumerate(self.blocks):
            own = {} if caches is None else {"cache": caches[number]}
            outputs = block(x, *memory, **own, **arguments)
            x, *rest = outputs if isinstance(outputs, tuple) else (outputs,)
            others.append(tuple(rest))
        return (self.norm(x) if self.norm else x), others

    def _embed(self, ids, start_index):
        x = self.embedding(ids)
        if self.position:
            start = {} if start_index is None else {"start_index": start_index}
            x = self.position(x, **start)
        if self.embedding_norm:
            x = self.embedding_norm(x)
        return self.dropout(x)


def padding_mask(ids):
    """Which of the ids `(B, T)` are tokens and not padding, which is 0."""
    return ops.not_equal(ids, 0)
