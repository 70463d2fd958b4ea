"""Replicas on a fake runtime over the in-memory engine: what tests of the rooms above the log stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime

from raftstore.command import COMMAND_TAGS_V1, Command
from raftstore.disk import RealDisk
from raftstore.errors import StoreError
from raftstore.model import Put, Range
from raftstore.mvcc.machine import StateMachine
from raftstore.options import ReplicaOptions
from raftstore.raft.inmem import InMemoryCluster
from raftstore.replica import Replica
from raftstore.snapshot import SnapshotStore
from raftstore.snapshotting import Places
from raftstore.state_folder import StateFolder

QUOTA_BYTES = 16 * 1024 * 1024


class Answer:
    """A `done` that remembers; `value` is the result or the error."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def __call__(self, value: Any) -> None:
        self.values.append(value)

    @property
    def given(self) -> bool:
        return bool(self.values)

    @property
    def value(self) -> Any:
        assert len(self.values) == 1, f"answered {len(self.values)} times: {self.values}"
        return self.values[0]

    @property
    def error(self) -> StoreError:
        assert isinstance(self.value, StoreError), self.value
        return self.value


class Replicas:
    """A cluster of `count` members 1, 2, ...; member 1 leads unless told otherwise."""

    def __init__(self, folder: Path, count: int = 1, *, places: bool = False, **options: Any) -> None:
        """With `places` the replicas keep snapshots and a state folder."""
        self.places: dict[int, Places] = {}
        self._with_places = places
        self.folder = folder
        self.runtime = FakeRuntime()
        self.options = ReplicaOptions(**{"quota_bytes": QUOTA_BYTES, **options})
        self.cluster = InMemoryCluster(self.runtime, tuple(range(1, count + 1)), kinds=COMMAND_TAGS_V1)
        self.stopped: dict[int, StoreError] = {}
        self.replicas = {member_id: self._make(member_id) for member_id in self.cluster.engines}

    def _make(self, member_id: int) -> Replica:
        folder = self.folder / str(member_id)
        if self._with_places:
            disk = RealDisk(folder / "snapshots")
            state = StateFolder(folder / "state", cluster_id=1, member_id=member_id)
            self.places[member_id] = Places(SnapshotStore(disk, cluster_id=1), state, folder)
            folder = state.folder
        machine = StateMachine.open(folder, quota_bytes=self.options.quota_bytes)

        def stopped(error: StoreError) -> None:
            self.stopped[member_id] = error

        return Replica(
            runtime=self.runtime,
            member_id=member_id,
            machine=machine,
            engine=self.cluster.engines[member_id],
            options=self.options,
            stopped=stopped,
            places=self.places.get(member_id),
        )

    def __getitem__(self, member_id: int) -> Replica:
        return self.replicas[member_id]

    def start(self, leader: int = 1) -> None:
        for replica in self.replicas.values():
            replica.start()
        self.cluster.elect(leader)
        self.runtime.run()

    def close(self) -> None:
        for replica in self.replicas.values():
            replica.stop()
            replica.house.machine.close()

    def propose(self, member_id: int, command: Command, timeout_s: float | None = None) -> Answer:
        """Ask without waiting."""
        answer = Answer()
        self[member_id].execute(command, answer, timeout_s)
        return answer

    def execute(self, member_id: int, command: Command) -> Any:
        answer = self.propose(member_id, command)
        self.runtime.run()
        return answer.value

    def put(self, key: bytes, value: bytes = b"", member_id: int = 1) -> int:
        """The revision of an acknowledged put."""
        result = self.execute(member_id, Put(key, value))
        assert not isinstance(result, StoreError), result
        return int(result.revision)

    def read(self, member_id: int, key: bytes, timeout_s: float | None = None) -> Answer:
        answer = Answer()
        self[member_id].range(Range(key), "linearizable", answer, timeout_s)
        return answer

    def versions(self, key: bytes) -> list[int]:
        """How often each replica's state says that `key` was written."""
        found = [replica.house.machine.get(key) for replica in self.replicas.values()]
        return [0 if kv is None else kv.version for kv in found]


@contextmanager
def replicas(
    folder: Path, count: int = 1, *, leader: int = 1, places: bool = False, **options: Any
) -> Iterator[Replicas]:
    cluster = Replicas(folder, count, places=places, **options)
    cluster.start(leader)
    try:
        yield cluster
    finally:
        cluster.close()
