"""The parts of a node that runs real containers, put together."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from apiserver.client import Client

from .clock import Wall
from .events import NodeEvents
from .hooks import LifecycleHooks
from .house import Parts
from .housekeeping import housekeeping
from .machine import Machine
from .network.node_network import NodeNetwork
from .plain import plain_parts
from .probes.prober import Prober
from .references import References
from .runtime import cgroups
from .runtime.cri import CriRuntime
from .side_work import side_work
from .spec.specs import ContainerSpecs, facts_of
from .volumes.opening import volumes_of_node


def container_parts(
    client: Client,
    node: str,
    runtime: CriRuntime,
    network: NodeNetwork,
    *,
    machine: Machine,
    folder: Path,
    references: References,
    wall: Wall = time.time,
) -> Parts:
    """`folder`: the agent's. Reads a few of the kernel's files."""
    events = NodeEvents(client, node, wall=wall)
    prober = Prober(runtime, events, wall=wall)
    facts = facts_of(machine, folder=folder, oom_group=cgroups.memory_is_v2())
    specs = ContainerSpecs(facts, network.network, references, network.services, events)
    volumes = volumes_of_node(client, node, machine, folder, references, events)
    return msgspec.structs.replace(
        plain_parts(prober),
        specs=specs,
        volumes=volumes.pods,
        hooks=LifecycleHooks(runtime, events),
        events=events,
        listeners=[network.memory.said],
        works=[
            *(prober.run, network.run, *volumes.works),
            side_work("events", events.run),
            *(side_work("housekeeping", each) for each in housekeeping(runtime)),
        ],
    )
