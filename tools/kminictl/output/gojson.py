"""JSON and values as Go's encoder writes them: sorted keys, and `<`, `>` and `&` escaped.

What kubectl keeps in its last-applied annotation is such text; both must write it alike so that they can be mixed.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Bytes that only stand inside strings, so that they can be replaced in finished JSON.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def compact(value: Any) -> str:
    return _escaped(msgspec.json.encode(value, order="sorted")).decode()


def indented(value: Any, indent: int = 4) -> str:
    return _escaped(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=indent)).decode()


def _escaped(raw: bytes) -> bytes:
    for character, escape in _ESCAPES:
        if character in raw:
            raw = raw.replace(character, escape)
    return raw


def sprint(value: Any) -> str:
    """A value as Go's fmt.Sprint shows it: `map[a:1 b:2]`, `[x y]`, `true`, `<nil>`."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{sprint(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(sprint, value))}]"
    return str(value)


def quote(text: str) -> str:
    """Go's %q."""
    return msgspec.json.encode(text).decode()
