"""What a server takes of one request, and of all at once."""

import dataclasses

from keras_transformer.arguments import integer, number


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

    max_body_bytes: int = 4 << 20
    max_texts: int = 256
    max_characters: int = 50_000
    max_requests: int = 128
    time_limit: float = 60.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int:
                integer(field.name, value)
            else:
                number(field.name, value, above=0)
