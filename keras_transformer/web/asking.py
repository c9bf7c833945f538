"""Asks a signature for a request: within the limits, counted, in plain errors."""

import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_transformer.web.limits import Limits
from keras_transformer.web.metrics import Metrics
from keras_transformer.web.protocol import Refused


class Deadline:
    """When a request must be answered.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(0.0, self._end - time.monotonic())

    def refused(self) -> Refused:
        """What is answered when it is over."""
        return Refused(
            f"Timed out: no answer within time_limit={self._seconds:g} seconds.", 504
        )


class Asker:
    """Asks signatures.

    Args:
        limits: `Limits` of requests.
        metrics: `Metrics` that count the answers.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics

    def check_texts(self, texts: Sequence[str | bytes]) -> None:
        """Refuses texts, bytes or strings, that are too many or too long."""
        limits = self._limits
        if len(texts) > limits.max_texts:
            raise Refused(
                f"A request must have at most max_texts={limits.max_texts} texts; "
                f"received {len(texts)}."
            )
        longest = max(map(_characters, texts), default=0)
        if longest > limits.max_characters:
            raise Refused(
                f"A text must have at most max_characters={limits.max_characters} "
                f"characters; received {longest}."
            )

    def ask(
        self,
        name: str,
        servable: Any,
        signature: str,
        inputs: dict[str, Any],
        deadline: Deadline,
    ) -> dict[str, Any]:
        """A signature's outputs, arrays by name.

        Args:
            name: The model's name, for the counters.
            servable: Its `Servable`.
            signature: Name of a signature that it has.
            inputs: Dict of arrays, all inputs of the signature.
            deadline: The request's `Deadline`.

        Raises:
            Refused: If it can't be answered.
        """
        infos = servable.definitions[signature].inputs
        for key, value in inputs.items():
            _check_shape(key, value, tf.TensorShape(infos[key].tensor_shape))
            if value.dtype == object:
                self.check_texts(value.ravel())
            elif value.shape[:1] > (self._limits.max_texts,):
                raise Refused(
                    f"A request must have at most max_texts={self._limits.max_texts} "
                    f"rows; received {len(value)}."
                )
        try:
            found = servable.ask(signature, inputs, deadline.left)
        except TimeoutError:
            raise deadline.refused() from None
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            # Their own words name files and lines of this machine.
            raise Refused(
                f"The model can't answer this request: {signature} failed "
                f"({type(error).__name__})."
            ) from error
        self._metrics.answers(name, servable.text_model, found)
        return found


def _characters(text):
    return len(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def _check_shape(name, value, shape):
    if not shape.is_compatible_with(value.shape):
        wanted = [-1 if size is None else size for size in shape.as_list()]
        raise Refused(
            f"Tensor name: {name} must have the shape {wanted}, -1 for any size; "
            f"received {[*value.shape]}."
        )
