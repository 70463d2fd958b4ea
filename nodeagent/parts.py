"""The parts of a node that runs real containers, put together."""

from __future__ import annotations

import time

import msgspec

from apiserver.client import Client

from .clock import Wall
from .events import NodeEvents
from .health import NoProbes
from .house import Parts
from .plain import plain_parts
from .runtime.cri import CriRuntime


def container_parts(client: Client, node: str, runtime: CriRuntime, *, wall: Wall = time.time) -> Parts:
    events = NodeEvents(client, node, wall=wall)
    return msgspec.structs.replace(plain_parts(NoProbes()), events=events, works=[events.run])
