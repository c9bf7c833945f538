"""Phrases that answers are favoured to have, or must have: terminology.

What a hypothesis has of each phrase is a bool `(B, N, G, W + 1)`, for G phrases of at
most W tokens. Column l < W says whether the hypothesis ends with the first l + 1 tokens
of the phrase, and the last column whether it has had the whole phrase. A token moves
each of them one column on, where it is the phrase's next.

A phrase counts once, wherever it comes. While it is being spelled, each of its tokens
adds the bonus to a hypothesis's log-probability. All of that is taken back where the
phrase breaks off. So an answer's score is its log-probability plus the bonus times the
number of tokens of the phrases that it has.

Reference: [A New Approach to Text Searching](https://doi.org/10.1145/135239.135243),
Baeza-Yates and Gonnet 1992, for the automaton.
"""

from keras import ops

from keras_transformer.kernels.impossible import IMPOSSIBLE


def as_phrases(phrases, bonus, forced, max_lengths, vocabulary_size, never):
    """What a search knows of each sentence's phrases, tensors `(B, ...)` by name.

    A phrase that no answer can have is left out: one longer than an answer, or with a
    token that is never generated. So is one that is there twice.

    Args:
        phrases: Integer ids `(B, G, W)`, 0 is padding; a row of zeros is no phrase.
        bonus: A number, or a tensor, scalar or `(B,)`.
        forced: Whether answers must have the phrases: a bool, or a bool tensor `(B,)`.
        max_lengths: Most tokens of each answer, int32 `(B,)`.
        vocabulary_size: Number of tokens V.
        never: Tokens that no answer has within.
    """
    ids = ops.convert_to_tensor(phrases, "int32")
    # One column more: a phrase has a first token, if only padding.
    ids = ops.pad(ids, ((0, 0), (0, 0), (0, 1)))
    lengths = ops.sum(ops.cast(ids != 0, "int32"), axis=-1)
    positions = ops.arange(ops.shape(ids)[-1], dtype="int32")
    is_inside = positions < lengths[..., None]
    known = (ids > 0) & (ids < vocabulary_size)
    for token in sorted(never):
        known = known & (ids != token)
    is_whole = ops.all(ops.where(is_inside, known, ids == 0), axis=-1)
    fits = lengths <= max_lengths[:, None]
    same = ops.all(ids[:, :, None] == ids[:, None], axis=-1)
    numbers = ops.arange(ops.shape(ids)[1], dtype="int32")
    is_second = ops.any(same & (numbers[:, None] > numbers), axis=-1)
    lengths = ops.where(is_whole & fits & ops.logical_not(is_second), lengths, 0)
    batch = ops.shape(ids)[0]
    bonus = ops.reshape(ops.cast(bonus, "float32"), (-1, 1))
    found = {
        "ids": ops.where(positions < lengths[..., None], ids, 0),
        "lengths": lengths,
        "bonus": ops.broadcast_to(bonus, (batch, 1)),
    }
    if forced is not False:
        forced = ops.broadcast_to(
            ops.reshape(ops.cast(forced, "bool"), (-1, 1)), (batch, 1)
        )
        # Those that must come need no bonus.
        found["bonus"] = ops.where(forced, 0.0, found["bonus"])
        found["forced"] = forced
    return found


def start(phrases, ids, count, width):
    """What N hypotheses have of the phrases after tokens that are known.

    Args:
        phrases: From `as_phrases`.
        ids: int32 `(B, L)`.
        count: How many of them are known, a scalar integer.
        width: Number N of hypotheses of each sentence.

    Returns:
        What the search's loop keeps, int32 `(B, N, G (W + 1))`.
    """
    batch, number, length = ops.shape(phrases["ids"])
    none = ops.zeros((batch, 1, number * (length + 1)), "int32")

    def add(index, state):
        return index + 1, advance(state, ops.take(ids, index, axis=1)[:, None], phrases)

    index = ops.convert_to_tensor(0, "int32")
    _, state = ops.while_loop(lambda index, _: index < count, add, (index, none))
    return ops.broadcast_to(state, (batch, width, number * (length + 1)))


def advance(state, tokens, phrases):
    """The next state of hypotheses, after one token each, `(B, n)`."""
    matches, had = _unpacked(state, phrases)
    is_next = phrases["ids"][:, None] == tokens[..., None, None]
    matches = _open(matches, phrases) & is_next
    is_last = _positions(phrases) + 1 == phrases["lengths"][..., None]
    had = had | ops.any(matches & is_last[:, None], axis=-1)
    packed = ops.concatenate([matches, had[..., None]], axis=-1)
    return ops.reshape(ops.cast(packed, "int32"), ops.shape(state))


def earned(state, phrases):
    """The bonus `(B, n)` in hypotheses' scores."""
    return phrases["bonus"] * _sum(spelled(state, phrases))


def unfinished(state, phrases):
    """What of it is taken back where an answer ends: that of unfinished phrases."""
    _, had = _unpacked(state, phrases)
    return phrases["bonus"] * _sum(ops.where(had, 0, spelled(state, phrases)))


def attainable(state, phrases):
    """The most `(B, n)` that further tokens can add to hypotheses' scores."""
    missing = phrases["lengths"][:, None] - spelled(state, phrases)
    return phrases["bonus"] * _sum(missing)


def lacks(state, phrases):
    """Whether hypotheses lack a phrase that their answer must have, bool `(B, n)`."""
    _, had = _unpacked(state, phrases)
    is_phrase = phrases["lengths"][:, None] > 0
    return phrases["forced"] & ops.any(is_phrase & ops.logical_not(had), axis=-1)


def spelled(state, phrases):
    """How many tokens of each phrase hypotheses have, int32 `(B, n, G)`."""
    matches, had = _unpacked(state, phrases)
    counts = ops.where(matches, _positions(phrases) + 1, 0)
    lengths = phrases["lengths"][:, None]
    return ops.where(had, lengths, ops.max(counts, axis=-1))


def has_whole(state, phrases):
    """Which phrases hypotheses have had, bool `(B, n, G)`."""
    return _unpacked(state, phrases)[1]


def next_of_phrases(state, phrases):
    """The token with which hypotheses go on with each phrase, or 0: `(B, n, G)`."""
    counts = spelled(state, phrases)[..., None]
    is_next = _positions(phrases) == counts
    tokens = ops.where(is_next, phrases["ids"][:, None], 0)
    return ops.where(has_whole(state, phrases), 0, ops.sum(tokens, axis=-1))


def favour(logits, state, index, sentences, end_id):
    """Logits `(B, N, V)` with the bonus of each token, and of what it breaks off.

    The end doesn't come before the phrases that an answer must have.

    Args:
        logits: What the search's rules left.
        state: What the hypotheses have of the phrases.
        index: Position of the tokens to come.
        sentences: As in `search`.
        end_id: Token that ends an answer, an integer or `(B, 1)`.
    """
    phrases, size = sentences["phrases"], logits.shape[-1]
    at_limit = index + 1 >= sentences["max_lengths"][:, None]
    reached = _positions(phrases) + 1
    # The last token of an answer leaves nothing unfinished.
    counts = at_limit[..., None] & (reached < phrases["lengths"][..., None])
    worth = ops.where(counts, 0, reached)[:, None]
    matches, had = _unpacked(state, phrases)
    open_ = _open(matches, phrases) & ops.logical_not(had)[..., None]
    # Of a token that is a phrase's next in several ways, the longest counts.
    same = phrases["ids"][..., None] == phrases["ids"][:, :, None]
    is_later = reached > reached[:, None]
    is_beaten = ops.any((same & is_later)[:, None] & open_[..., None, :], axis=-1)
    worth = ops.where(open_ & ops.logical_not(is_beaten), worth, 0)
    worth = phrases["bonus"][..., None, None] * ops.cast(worth, "float32")
    added = _at_tokens(worth, phrases["ids"][:, None], size)
    logits = logits + added - unfinished(state, phrases)[..., None]
    if "forced" not in phrases:
        return logits
    is_early = lacks(state, phrases) & ops.logical_not(at_limit)
    is_end = ops.arange(size, dtype="int32") == end_id
    is_end = ops.reshape(is_end, (-1, 1, size))
    return ops.where(is_early[..., None] & is_end, IMPOSSIBLE, logits)


def _at_tokens(values, tokens, size):
    """Values `(B, N, G, W)` summed up at their tokens `(B, 1, G, W)`: `(B, N, V)`."""
    batch, width = ops.shape(values)[:2]
    rows = ops.arange(batch * width, dtype="int32") * size
    indices = ops.reshape(rows, (batch, width, 1, 1)) + tokens
    flat = ops.segment_sum(
        ops.reshape(values, (-1,)), ops.reshape(indices, (-1,)), batch * width * size
    )
    return ops.reshape(flat, (batch, width, size))


def _unpacked(state, phrases):
    """The matches of each length, `(B, n, G, W)`, and whether each phrase was whole."""
    batch, number, length = ops.shape(phrases["ids"])
    count = ops.shape(state)[1]
    packed = ops.reshape(state, (batch, count, number, length + 1)) > 0
    return packed[..., :-1], packed[..., -1]


def _open(matches, phrases):
    """Of which lengths a next token could be the last: `(B, n, G, W)`."""
    before = ops.concatenate(
        [ops.ones_like(matches[..., :1]), matches[..., :-1]], axis=-1
    )
    is_inside = _positions(phrases) < phrases["lengths"][..., None]
    return before & is_inside[:, None]


def _positions(phrases):
    return ops.arange(ops.shape(phrases["ids"])[-1], dtype="int32")


def _sum(counts):
    return ops.cast(ops.sum(counts, axis=-1), "float32")
