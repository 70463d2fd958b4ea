"""What an agent notes on its disk for the next one: JSON that says its format, read within a bound."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """`format` is raised when an older agent could not read it any more."""

    format: int


T = TypeVar("T", bound=Noted)


def read_noted(path: Path, type_: type[T], *, known_format: int, bytes_max: int) -> T:
    """Raises OSError, and ValueError for what this agent cannot use."""
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise ValueError("it is too large")
    noted = msgspec.json.decode(data, type=type_)
    if noted.format != known_format:
        raise ValueError(f"it has format {noted.format}; this agent knows format {known_format}")
    return noted
