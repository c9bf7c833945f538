"""What a server takes of one request, and of all at once."""

import dataclasses

from keras_transformer.arguments import integer, number


def _field(default, words):
    return dataclasses.field(default=default, metadata={"help": words})


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of requests; beyond them they are refused at once, with the limit's name.

    Args:
        max_body_bytes: Most bytes of a request's body (HTTP 413).
        max_texts: Most rows of a request (HTTP 400).
        max_characters: Most characters of a text (HTTP 400).
        max_requests: Most requests under way (HTTP 429, with Retry-After).
        time_limit: Seconds that a request may take (HTTP 504).

    Raises:
        TypeError: If one isn't a number.
        ValueError: If one isn't positive.
    """

    max_body_bytes: int = _field(4 << 20, "most bytes of a request's body")
    max_texts: int = _field(256, "most texts of a request")
    max_characters: int = _field(50_000, "most characters of a text")
    max_requests: int = _field(128, "most requests under way")
    time_limit: float = _field(60.0, "seconds that a request may take")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                integer(field.name, value)
            else:
                number(field.name, value, above=0)
