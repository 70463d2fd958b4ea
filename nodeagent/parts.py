"""The parts of a node that runs real containers, put together."""

from __future__ import annotations

from .health import NoProbes
from .house import Parts
from .plain import plain_parts


def container_parts() -> Parts:
    return plain_parts(NoProbes())
