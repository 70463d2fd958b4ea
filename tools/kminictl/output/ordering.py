"""The order of values that `--sort-by` finds: numbers by size, quantities by amount, text in natural order."""

from __future__ import annotations

import re
from typing import Any

_PART = re.compile(r"\d+|\D+")
_QUANTITY = re.compile(r"([-+]?\d+(?:\.\d+)?)([eE][-+]?\d+|[KMGTPE]i|[numkMGTPE])?")
_FACTORS = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def compared(one: Any, other: Any) -> int:
    """-1, 0, 1. What is not there comes first."""
    if one is None or other is None:
        return (one is not None) - (other is not None)
    if isinstance(one, str) and isinstance(other, str):
        amounts = amount(one), amount(other)
        if amounts[0] is not None and amounts[1] is not None:
            return _sign(amounts[0], amounts[1])
        return _sign(_natural(one), _natural(other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return _sign(one, other)
    return _sign(str(one), str(other))


def amount(text: str) -> float | None:
    """Of a quantity such as `100m`; None for other text."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match[2] or ""
    if suffix in _FACTORS:
        return float(match[1]) * _FACTORS[suffix]
    return float(match[1] + suffix)


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in _PART.findall(text)]


def _sign(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)
