"""Names of a package that are imported when they are first asked for."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], Callable[[], None]]:
    """What a package defines so that its names are imported on first use.

    The command line reads a table of one module, such as the options of a search,
    without Keras and TensorFlow, which the package's other modules import.

    Args:
        package: The package's `__name__`.
        modules: Dict of names -> the module of the package that has each.

    Returns:
        A tuple of the package's `__getattr__`, its `__dir__`, and a function that
        imports all of the names at once. That is needed where a function is named as
        its module is: importing the module gives the package its name, too.

    Example:

    >>> __getattr__, __dir__, load = lazy_names(__name__, {"PRESETS": "presets"})
    """

    def load(name):
        module = importlib.import_module(f"{package}.{modules[name]}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def __getattr__(name):
        if name in modules:
            return load(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*vars(sys.modules[package]), *modules})

    def load_all():
        for name in modules:
            load(name)

    return __getattr__, __dir__, load_all
