"""Text of others on a terminal: what pods, registries and servers say must not move its cursor or change its title.

Every word that is for people goes through here; what is for programs (YAML, JSON, jsonpath, logs) is shown as it is.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline


def printable(text: str) -> str:
    """As kubectl writes it: ^[ for the escape that begins a command to the terminal."""
    return _CONTROL.sub(lambda match: _written(match[0]), text)


def _written(control: str) -> str:
    if control == "\r":
        return "\\r"
    code = ord(control)
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"\\x{code:02x}"
