"""The parts of a node that runs real containers, put together."""

from __future__ import annotations

import time

import msgspec

from apiserver.client import Client

from .clock import Wall
from .events import NodeEvents
from .house import Parts
from .network.node_network import NodeNetwork
from .plain import plain_parts
from .probes.prober import Prober
from .runtime.cri import CriRuntime


def container_parts(
    client: Client, node: str, runtime: CriRuntime, network: NodeNetwork, *, wall: Wall = time.time
) -> Parts:
    events = NodeEvents(client, node, wall=wall)
    prober = Prober(runtime, events, wall=wall)
    return msgspec.structs.replace(plain_parts(prober), events=events, works=[events.run, prober.run, network.run])
