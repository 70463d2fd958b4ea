"""$(NAME) in values, commands and arguments.

The rules are Kubernetes': `$$` is a dollar sign, so that `$$(NAME)` is not expanded; a name that nobody knows is left
as it is written; what was put in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_reference_re = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, *known: Mapping[str, str]) -> str:
    """The first of the maps that has the name gives the value."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return next((each[name] for each in known if name in each), match[0])

    return _reference_re.sub(value, text) if "$" in text else text


def expand_all(texts: Sequence[str], known: Mapping[str, str]) -> list[str]:
    return [expand(each, known) for each in texts]
