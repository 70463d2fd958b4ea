"""Load that fights over what must not be given twice: room on nodes, addresses of Services, the lead of an election.

Every binding carries a token that ends up in the pod's annotations, so that it can be told afterwards which one
happened. Nodes are small and wanted addresses few: most of what is asked for cannot be had.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Sequence
from random import Random

from api_load import NAMESPACE, PACE_S, ApiLoad

from apiserver.api.base import ResourceList
from apiserver.api.coordination import Lease, LeaseSpec
from apiserver.api.core.config import Secret
from apiserver.api.core.containers import Container, ResourceRequirements
from apiserver.api.core.node import Node, NodeStatus
from apiserver.api.core.pod import Binding, Pod, PodSpec
from apiserver.api.core.references import ObjectReference
from apiserver.api.core.service import Service, ServicePort, ServiceSpec
from apiserver.api.errors import Fenced, Invalid, NotFound
from apiserver.api.kinds import kind_of
from apiserver.api.meta import DeleteOptions, ObjectMeta
from apiserver.client import Client, requests
from raftstore.sim.history import Outcome

NODES: dict[str, ResourceList] = {f"node-{number}": {"cpu": "1", "memory": "1Gi", "pods": "4"} for number in range(3)}
TOKEN = "load.example/token"  # the annotation's name
PENDING_MAX = 6
WANTED = [f"10.96.7.{number}" for number in range(1, 5)]
WANTED_PORTS = range(30_100, 30_104)
ELECTION, FENCED = "election", "fenced-"
AT_ONCE = DeleteOptions(grace_period_seconds=0)


class Claims:
    """`bindings` and `services` say what came of each request: pod or Service, what was asked for, outcome."""

    def __init__(self) -> None:
        self.bindings: dict[str, tuple[str, str, Outcome]] = {}  # token → pod, node, outcome
        self.services: dict[str, Outcome] = {}  # name → of its creation
        self.fenced: dict[str, Outcome] = {}  # name → of its creation by whoever believed to lead
        self._pending: list[str] = []
        self._bound: list[str] = []
        self._names = itertools.count()

    def jobs(self, load: ApiLoad) -> Sequence[Awaitable[None]]:
        return [
            self._feed(load),
            *(self._bind(load, number) for number in range(3)),
            *(self._serve(load, number) for number in range(2)),
            *(self._lead(load, number) for number in range(2)),
        ]

    # --- pods ---------------------------------------------------------------------------------------------

    async def _feed(self, load: ApiLoad) -> None:
        """Nodes once, then pods, as long as few are pending; those that are bound end, one way or the other."""
        random, client = load.random("feed"), load.client(0)
        for name, allocatable in NODES.items():
            node = await client.create(Node(metadata=ObjectMeta(name=name)))
            node.status = NodeStatus(capacity=allocatable, allocatable=allocatable)
            await client.update_status(node)
        while not load.stopping:
            if len(self._pending) < PENDING_MAX:
                await self._make(load, client, random)
            if len(self._bound) > 3:
                await self._finish(load, client, self._bound.pop(random.randrange(len(self._bound))), random)
            await asyncio.sleep(PACE_S)

    async def _make(self, load: ApiLoad, client: Client, random: Random) -> None:
        name = f"pod-{next(self._names)}"
        asked: ResourceList = {"cpu": random.choice(("200m", "300m", "500m")), "memory": "64Mi"}
        containers = [Container(name="app", image="nginx:1.25", resources=ResourceRequirements(requests=asked))]
        outcome, _ = await load.judged(
            client.create(Pod(metadata=ObjectMeta(name=name), spec=PodSpec(containers=containers)))
        )
        if outcome is not Outcome.FAILED:
            self._pending.append(name)

    async def _finish(self, load: ApiLoad, client: Client, name: str, random: Random) -> None:
        """It gives back its room by being finished, or gone; what was not certainly done is tried again."""
        ended = Outcome.FAILED
        if random.random() < 0.5:
            change = {"status": {"phase": random.choice(("Succeeded", "Failed"))}}
            ended, _ = await load.judged(client.patch(Pod, name, change, subresource="status"))
        if ended is not Outcome.OK or random.random() < 0.7:
            ended, answer = await load.judged(client.delete(Pod, name, options=AT_ONCE))
            if ended is not Outcome.OK and not isinstance(answer, NotFound):
                self._bound.append(name)

    async def _bind(self, load: ApiLoad, number: int) -> None:
        """As a scheduler that knows nothing of what is bound already."""
        random, client = load.random("bind", number), load.client(number)
        while not load.stopping:
            await asyncio.sleep(PACE_S)
            if not self._pending:
                continue
            pod, node, token = random.choice(self._pending), random.choice(list(NODES)), load.token()
            outcome, answer = await load.judged(client.send(_binding(pod, node, token)))
            self.bindings[token] = (pod, node, outcome)
            if outcome is not Outcome.FAILED:
                load.answers["bound"] += outcome is Outcome.OK
                self._bound.append(pod)
            elif "has not enough" in str(answer):
                load.answers["did not fit"] += 1
                continue
            if pod in self._pending:
                self._pending.remove(pod)

    # --- Services -----------------------------------------------------------------------------------------

    async def _serve(self, load: ApiLoad, number: int) -> None:
        random, client = load.random("serve", number), load.client(number + 1)
        kept: list[str] = []
        while not load.stopping:
            name = f"service-{number}-{next(self._names)}"
            outcome, _ = await load.judged(client.create(_service(name, random)), Invalid)
            self.services[name] = outcome
            kept += [name] if outcome is not Outcome.FAILED else []
            if kept and random.random() < 0.5:
                change = random.choice(
                    (
                        {"spec": {"type": "ClusterIP"}},
                        {"spec": {"type": "NodePort"}},
                        {"spec": {"type": "ExternalName", "externalName": "a.example"}},
                    )
                )
                await load.judged(client.patch(Service, random.choice(kept), change), Invalid)
            if len(kept) > 5:
                await load.judged(client.delete(Service, kept.pop(0)))
            await asyncio.sleep(PACE_S)

    # --- an election --------------------------------------------------------------------------------------

    async def _lead(self, load: ApiLoad, number: int) -> None:
        """Takes the lead whenever it can, and writes with its fence until it is told that it was deposed.

        The name of what it writes says in which term of office that was.
        """
        random, client = load.random("lead", number), load.client(number)
        while not load.stopping:
            term = await self._elected(load, client, f"candidate-{number}")
            fenced = client.fence(f"{NAMESPACE}/{ELECTION}", term or 0)
            for _ in range(random.randint(3, 12) if term is not None else 0):
                name = f"{FENCED}{term}-{next(self._names)}"
                self.fenced[name], answer = await load.judged(fenced.create(Secret(metadata=ObjectMeta(name=name))))
                if isinstance(answer, Fenced):
                    break
            await asyncio.sleep(PACE_S)

    @staticmethod
    async def _elected(load: ApiLoad, client: Client, holder: str) -> int | None:
        """The number of its term of office."""
        outcome, lease = await load.judged(client.get(Lease, ELECTION))
        if isinstance(lease, NotFound):
            made = Lease(metadata=ObjectMeta(name=ELECTION), spec=LeaseSpec(holder_identity=holder))
            outcome, lease = await load.judged(client.create(made))
        elif outcome is Outcome.OK:
            lease.spec.holder_identity = holder
            outcome, lease = await load.judged(client.update(lease))
        return lease.spec.lease_transitions if outcome is Outcome.OK else None


def _binding(pod: str, node: str, token: str) -> requests.Request:
    body = Binding(
        metadata=ObjectMeta(name=pod, annotations={TOKEN: token}), target=ObjectReference(kind="Node", name=node)
    )
    body.api_version, body.kind = "v1", "Binding"
    return requests.create(requests.path_of(kind_of(Pod), NAMESPACE, pod, "binding"), body)


def _service(name: str, random: Random) -> Service:
    port = ServicePort(name="http", port=80)
    spec = ServiceSpec(ports=[port], type=random.choice(("ClusterIP", "NodePort")))
    if random.random() < 0.5:
        spec.cluster_ip = random.choice(WANTED)
    if spec.type == "NodePort" and random.random() < 0.5:
        port.node_port = random.choice(WANTED_PORTS)
    return Service(metadata=ObjectMeta(name=name), spec=spec)
