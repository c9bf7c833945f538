"""Counters for Prometheus."""

from typing import Any

import prometheus_client as prometheus

# Outputs that count tokens, one number a row.
_TOKENS = "num_tokens", "num_source_tokens", "output_length"
_SECONDS = 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60


class Metrics:
    """Requests, texts, tokens, seconds and errors, of one server."""

    content_type = prometheus.CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()

        def new(kind, name, words, labels=(), **options):
            name = f"keras_transformer_{name}"
            return kind(name, words, labels, registry=self._registry, **options)

        self._requests = new(
            prometheus.Counter, "requests", "Requests", ("route", "status")
        )
        self._errors = new(
            prometheus.Counter, "errors", "Requests with an error", ("route", "status")
        )
        self._texts = new(prometheus.Counter, "texts", "Texts answered", ("model",))
        self._tokens = new(
            prometheus.Counter,
            "tokens",
            "Tokens of texts and answers, where a signature or the model tells them",
            ("model",),
        )
        self._seconds = new(
            prometheus.Histogram,
            "request_seconds",
            "Seconds a request took",
            ("route",),
            buckets=_SECONDS,
        )
        self._under_way = new(
            prometheus.Gauge, "requests_under_way", "Requests under way"
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered."""
        self._requests.labels(route, status).inc()
        if status >= 400:
            self._errors.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def answers(self, model: str, text_model: Any, outputs: dict[str, Any]) -> None:
        """Counts a signature's answers.

        Args:
            model: The model's name.
            text_model: The text model, if it is in memory, or None.
            outputs: Dict of arrays by name.
        """
        rows = max((len(v) for v in outputs.values() if v.shape), default=0)
        self._texts.labels(model).inc(rows)
        tokens = sum(int(outputs[n].sum()) for n in _TOKENS if n in outputs)
        if not tokens and text_model is not None:
            for name in ("translation", "translations", "generated"):
                if name in outputs:
                    texts = outputs[name].ravel()
                    ids = text_model.target_tokenizer.tokenize(texts)
                    tokens += int(ids.flat_values.shape[0])
        self._tokens.labels(model).inc(tokens)

    def under_way(self, count: int) -> None:
        """Sets the number of requests under way."""
        self._under_way.set(count)

    def page(self) -> bytes:
        """All of them in Prometheus's text format."""
        return prometheus.generate_latest(self._registry)
