"""What a server takes of one request, and of all at once."""

import dataclasses

from keras_transformer.arguments import integer, number

# Each has a thread of the server, and connections have a limit too.
_MOST_REQUESTS = 512


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of requests; beyond them they are refused at once, with the limit's name.

    Args:
        max_body_bytes: Most bytes of a request's body (HTTP 413).
        max_texts: Most rows of a request (HTTP 400).
        max_characters: Most characters of a text (HTTP 400).
        max_requests: Most requests under way (HTTP 429, with Retry-After), up to 512.
        time_limit: Seconds that a request may take (HTTP 504).

    Raises:
        TypeError: If one isn't a number.
        ValueError: If one isn't positive, or `max_requests` is greater than 512.
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
        if self.max_requests > _MOST_REQUESTS:
            raise ValueError(
                f"max_requests must be at most {_MOST_REQUESTS}; received "
                f"max_requests={self.max_requests}."
            )

    @property
    def of_body(self) -> str:
        """What is answered to a body that is too large."""
        return f"A body must have at most max_body_bytes={self.max_body_bytes} bytes."
