"""All that belongs to the volumes of one node, put together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from apiserver.api.quantity import value
from apiserver.client import Client
from nodeagent.house import EventSink
from nodeagent.machine import Machine
from nodeagent.node import allocatable_of
from nodeagent.references import References
from nodeagent.spec.fields import Place

from .folders import PodFolders
from .keeping import Keeper
from .kinds import Kinds
from .pod_volumes import PodVolumes
from .reclaiming import Reclaimer
from .tokens import Tokens


class NodeVolumes(msgspec.Struct, frozen=True, kw_only=True):
    """`works` go on as long as the agent does."""

    pods: PodVolumes
    works: Sequence[Callable[[], Coroutine[Any, Any, None]]]


def volumes_of_node(
    client: Client, node: str, machine: Machine, folder: Path, references: References, events: EventSink
) -> NodeVolumes:
    """`folder`: the agent's."""
    folders, tokens = PodFolders(folder / "pods"), Tokens(client)
    place = Place(host_ips=machine.addresses, allocatable=allocatable_of(machine))
    memory = value(machine.capacity.get("memory", "0"))
    kinds = Kinds(client, folders, references, tokens, node=node, place=place, memory=memory)
    volumes = PodVolumes(folders, references, tokens, kinds)
    works = [Keeper(volumes, events).run, Reclaimer(client, node, folders).run]
    return NodeVolumes(pods=volumes, works=works)
