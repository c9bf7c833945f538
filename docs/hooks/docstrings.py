"""Docstrings for the API reference, which is made without importing the package.

- Keras writes `Example:`, an empty line and `>>>`, without indentation. Markdown would
  take these lines for quotations, so each block gets a fence.
- Docstrings that the package puts together when it is imported are put together here.
"""

import ast
import re

import griffe

_BLOCK = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.MULTILINE)
# A section that Google's style knows, with a title of its own.
_CALL = "Call arguments:", "Other Args: Call arguments:"


class Docstrings(griffe.Extension):
    """Completes docstrings, and puts a fence around their examples."""

    def on_class(self, *, cls, **kwargs):
        if "__doc__" in cls.members:
            value = _assembled(cls)
            cls.docstring = griffe.Docstring(value, parent=cls, lineno=cls.lineno)
            del cls.members["__doc__"]
        elif cls.docstring and "{arguments}" in cls.docstring.value:
            cls.docstring.value = cls.docstring.value.replace(
                "    {arguments}", "\n".join(_options(cls))
            )
            for parameter in cls.parameters:
                if isinstance(parameter.default, griffe.ExprCall):
                    parameter.default = parameter.default.arguments[0]

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            value = _BLOCK.sub(_fenced, obj.docstring.value)
            obj.docstring.value = value.replace(*_CALL)


def _assembled(cls):
    """The value of `__doc__ = f'''...'''`, whose parts are strings of modules."""
    module = ast.parse(cls.filepath.read_text("utf-8"))
    strings = _strings(module)
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith(
            cls.package.name
        ):
            path = cls.package.filepath.parent.parent / node.module.replace(".", "/")
            if (file := path.with_suffix(".py")).exists():
                strings |= _strings(ast.parse(file.read_text("utf-8")))
    (found,) = (
        node.value.values
        for node in _body(module, cls)
        if isinstance(node, ast.Assign) and node.targets[0].id == "__doc__"
    )
    parts = (
        part.value if isinstance(part, ast.Constant) else strings[part.value.id]
        for part in found
    )
    return "".join(parts)


def _strings(module):
    """The constants of a module, by their names."""
    return {
        node.targets[0].id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }


def _options(cls):
    """A line for each field `name: type = _option(default, check, words)`."""
    module = ast.parse(cls.filepath.read_text("utf-8"))
    for node in _body(module, cls):
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
            yield f"    {node.target.id}: {ast.literal_eval(node.value.args[-1])}"


def _body(module, cls):
    (found,) = (
        node.body
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == cls.name
    )
    return found


def _fenced(block):
    return f"```pycon\n{block[0].rstrip()}\n```\n"
