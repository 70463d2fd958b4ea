"""A control plane for tests, inside this process: one replica or three, with temporary data, ready in a moment.

Everything is real (store, certificates, TLS, RBAC, admission); only the data is short-lived, on a file system in memory
where there is room. Each replica runs on a thread with a loop of its own (loops.py); three are joined by links that can
be cut (links.py). Methods are blocking and for the threads of tests; a control plane is used by one thread at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from apiserver.auth import pki

from ..controlling import Controlled
from ..kubeconfig import document
from .links import Links
from .loops import LoopThread, replica_loop
from .replica import Replica

NAMES = ("a", "b", "c")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a place, not a file name; the folder in it is made by mkdtemp
SHARED_MEMORY_BYTES_MIN = 1 << 30
PORT_TRIES_MAX = 50
START_TIMEOUT_S = 120.0  # it only ends what hangs: a busy machine takes more than half a minute for three
NOBODY = Controlled("none")


class ControlPlane:
    """`with ControlPlane(replicas=3) as plane:`. `port` is that of the API, 0 takes a free one. `controllers`
    says where controllers and scheduler run.

    One replica serves at 127.0.0.1. Three serve at 127.0.0.11, .12 and .13, all at the same port, as three machines
    would.
    """

    def __init__(self, *, replicas: int = 1, port: int = 0, controllers: Controlled = NOBODY) -> None:
        if replicas not in (1, 3):
            raise ValueError(f"a control plane for tests has 1 replica or 3, not {replicas}")
        self.names: Sequence[str] = NAMES[:replicas]
        self._port = port
        self._controlled = controllers
        self._stack = ExitStack()
        self._loop: LoopThread | None = None
        self._links: Links | None = None
        self._replicas: dict[str, Replica] = {}
        self._frozen: set[str] = set()
        self.folder = Path()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what there is --------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The admin's, with one context per replica."""
        return self.folder / "kubeconfig"

    @property
    def servers(self) -> dict[str, str]:
        """Name of the replica → URL."""
        return {name: replica.url for name, replica in self._replicas.items()}

    @property
    def leader(self) -> str:
        """The name of the replica that leads, by the word of most of those that are not paused; "" between leaders."""
        said = [replica.leader() for name, replica in self._replicas.items() if name not in self._frozen]
        found = max(set(said), key=said.count, default="")
        return found if said.count(found) * 2 > len(self.names) else ""

    def write_kubeconfig(self, path: Path, *, namespace: str = "default") -> None:
        """One for the admin that works in a namespace of its own; mode 0600."""
        config = json.loads(document(self.servers, folder=self._replicas[self.names[0]].pki))
        for context in config["contexts"]:
            context["context"]["namespace"] = namespace
        pki.write_file(path, json.dumps(config, indent=1).encode(), secret=True)

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on a loop that no fault of ours ever stops, and wait for it."""
        assert self._loop is not None
        return self._loop.call(work)

    # --- what can happen ------------------------------------------------------------------------------

    def partition(self, *names: str) -> tuple[str, ...]:
        """Cut replicas off from all others, the leader when none is named; says which. Clients still reach them.

        The only replica of a control plane has nobody to be cut off from: there it is cut off from its clients.
        """
        chosen = names or ((self.leader or self.names[0]),)
        self._check(chosen)
        if self._links is None:
            self.pause(*chosen)
        else:
            links, others = self._links, [name for name in self.names if name not in chosen]
            self._on_loop(lambda: links.isolate(chosen, others))
        return tuple(chosen)

    def cut(self, sender: str, receiver: str) -> None:
        """In one direction only: nothing that `sender` sends arrives at `receiver`."""
        self._check((sender, receiver))
        if self._links is None:
            raise ValueError("one replica alone has no links to cut")
        links = self._links
        self._on_loop(lambda: links.cut(sender, receiver))

    def pause(self, *names: str) -> None:
        """Replicas stand still: nobody hears of them, connections stay open. As when a machine hangs."""
        self._check(names)
        for name in names:
            self._replicas[name].thread.freeze()
            self._frozen.add(name)

    def heal(self) -> None:
        """Everything reaches everything again, and all that stood still goes on."""
        if self._links is not None:
            self._on_loop(self._links.heal)
        for name in self._frozen:
            self._replicas[name].thread.thaw()
        self._frozen.clear()

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._replicas:
                raise ValueError(f"there is no replica {name!r}; there is: {', '.join(self.names)}")

    def _on_loop(self, function: Any) -> None:
        async def work() -> None:
            function()

        self.call(work())

    # --- start and stop -------------------------------------------------------------------------------

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kmini-", dir=_place()))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._loop = LoopThread("kmini")
        self._stack.callback(self._loop.close)
        shared = self.folder / "ca"
        pki.init_shared(shared)
        alone = len(self.names) == 1
        hosts = {name: "127.0.0.1" if alone else f"127.0.0.{number}" for number, name in enumerate(self.names, 11)}
        api_port = self._port or _free_port(hosts.values())
        peers = {} if alone else self._start_links(hosts)
        for name, host in hosts.items():
            thread = LoopThread(f"kmini-{name}", partial(replica_loop, "" if alone else host))
            self._stack.callback(thread.close)
            self._replicas[name] = Replica(
                name,
                thread,
                folder=self.folder / name,
                shared=shared,
                peers={other: outer for other, (outer, _) in peers.items()},
                bind=peers[name][1] if peers else "",
                host=host,
                api_port=api_port,
                controlled=self._controlled,
            )
        self._stack.callback(self._stop_replicas)
        self._everywhere(Replica.start)
        pki.write_file(self.kubeconfig, document(self.servers, folder=self._replicas[self.names[0]].pki), secret=True)

    def _start_links(self, hosts: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Name → (where peers reach the replica, where it listens)."""
        self._links = links = Links(hosts)
        self._stack.callback(lambda: self.call(links.close()))
        found = {}
        for name, host in hosts.items():
            outer, inner = _free_port([host]), _free_port(["127.0.0.1"])
            self.call(links.listen(name, host, outer, inner_port=inner))
            found[name] = (f"{host}:{outer}", f"127.0.0.1:{inner}")
        return found

    def _stop_replicas(self) -> None:
        """All faces first, as a server takes leave of the others, which takes a majority. Then one store after the
        other: a leader that goes together with whom it hands over to would wait for it."""
        self._everywhere(Replica.stop_serving)
        for replica in self._replicas.values():
            replica.thread.call(replica.stop())

    def _everywhere(self, work: Callable[[Replica], Coroutine[Any, Any, None]]) -> None:
        running = [replica.thread.submit(work(replica)) for replica in self._replicas.values()]
        for future in running:
            future.result(START_TIMEOUT_S)

    def close(self) -> None:
        """Idempotent."""
        if self._replicas:
            self.heal()
        self._stack.close()
        self._replicas = {}


def _place() -> str:
    """Memory when there is enough of it: a test needs no data that outlives a power cut."""
    try:
        room = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        room = 0
    usable = room >= SHARED_MEMORY_BYTES_MIN and os.access(SHARED_MEMORY, os.W_OK)
    return str(SHARED_MEMORY) if usable else tempfile.gettempdir()


def _free_port(hosts: Iterable[str]) -> int:
    """A port that is free at all of them, or was a moment ago. Raises OSError when none is found."""
    for _ in range(PORT_TRIES_MAX):
        with ExitStack() as stack:
            port = 0
            try:
                for host in hosts:
                    each = stack.enter_context(socket.socket())
                    each.bind((host, port))
                    port = each.getsockname()[1]
            except OSError:
                continue
            return port
    raise OSError("no free port was found")
