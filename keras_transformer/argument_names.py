"""Names of arguments: a misspelled one is an error that says what was meant."""

import difflib
from collections.abc import Iterable


class UnknownArgumentError(TypeError, ValueError):
    """An argument that doesn't exist.

    It is a TypeError, as Python raises for a call. It is a ValueError too, because the
    name may come from a dict, a file of settings or the command line.
    """


def check_names(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises an error for names that `owner` doesn't take, with the nearest it does.

    Args:
        owner: What takes the arguments, for the message: `"Transformer()"`.
        given: Iterable of names.
        known: Iterable of the names that exist.

    Raises:
        UnknownArgumentError: For unknown names.
    """
    known = list(known)
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    nearest = {name: difflib.get_close_matches(str(name), known, 1) for name in unknown}
    words = ", ".join(
        f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name)
        for name, near in nearest.items()
    )
    takes = "" if all(nearest.values()) else f" It takes: {', '.join(sorted(known))}."
    raise UnknownArgumentError(f"{owner} has no argument {words}.{takes}")
