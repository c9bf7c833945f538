"""A finding of `doctor`, and the version of a model that it is about."""

import functools
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Self

STOPS = "stops the load"
FAILS = "fails requests"
ADVICE = "advice"
SEVERITIES = (STOPS, FAILS, ADVICE)


class Finding(str):
    """A problem and the way out, as a string.

    Attributes:
        severity: One of `SEVERITIES`: whether the server can't load the model, loads it
            and can't answer some requests, or does both less well than it could.
    """

    severity: str

    def __new__(cls, severity: str, words: str) -> Self:
        finding = super().__new__(cls, words)
        finding.severity = severity
        return finding


class Version:
    """One version of a SavedModel: its folder and the graph that is served.

    Args:
        path: The folder, a `pathlib.Path`.
        meta: The `MetaGraphDef` with the tag "serve".
    """

    def __init__(self, path: pathlib.Path, meta: Any) -> None:
        self.path = path
        self.meta = meta
        self.nodes = {node.name: node for node in meta.graph_def.node}
        self.functions = {
            function.signature.name: function
            for function in meta.graph_def.library.function
        }

    @property
    def signatures(self) -> dict[str, Any]:
        """The signatures that clients may ask, by name."""
        return {
            name: signature
            for name, signature in sorted(self.meta.signature_def.items())
            if not name.startswith("__")
        }

    def all_nodes(self) -> Iterator:
        """Yields the nodes of the graph and of each function in its library."""
        yield from self.nodes.values()
        for function in self.functions.values():
            yield from function.node_def

    @functools.cached_property
    def xla_signatures(self) -> list[str]:
        """Names of the signatures that XLA must compile, wholly or in part."""
        return [
            name
            for name, signature in self.signatures.items()
            if any(
                _is_compiled(part)
                for part in self.reached(o.name for o in signature.outputs.values())
            )
        ]

    def reached(self, tensors: Iterable[str]) -> Iterator:
        """Nodes and functions that are run for tensors of the graph, given by name.

        A function is followed by all nodes in it.
        """
        waiting = [_node_name(name) for name in tensors]
        nodes, functions = set(), set()
        calls: list[str] = []
        while waiting:
            name = waiting.pop()
            if name not in self.nodes or name in nodes:
                continue
            nodes.add(name)
            node = self.nodes[name]
            yield node
            waiting.extend(map(_node_name, node.input))
            calls.extend(called_by(node))
        while calls:
            name = calls.pop()
            if name not in self.functions or name in functions:
                continue
            functions.add(name)
            function = self.functions[name]
            yield function
            for node in function.node_def:
                yield node
                calls.extend(called_by(node))


def called_by(node: Any) -> Iterator[str]:
    """Names of the functions that a node calls."""
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _is_compiled(part):
    """Whether XLA must compile a node or function."""
    names = ("_XlaMustCompile", "_XlaCompile")
    marked = any(name in part.attr and part.attr[name].b for name in names)
    return marked or getattr(part, "op", "") in ("XlaLaunch", "XlaCallModule")


def _node_name(tensor):
    return tensor.removeprefix("^").split(":")[0]
