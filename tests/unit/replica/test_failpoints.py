"""Failpoints: each declared name is in the code and reached; off they do nothing; errors arrive where they belong."""

from __future__ import annotations

import ast
import asyncio
import errno
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from journal_tools import SMALL, extend, fake_disk, founded, sync
from lone_node import LoneNode
from open_files import open_files
from replicas import Answer, replicas
from snapshot_tools import new_store, take

import raftstore
from raftstore import ReplicaOptions, SnapshotOptions, Store, StoreConfig, failpoint
from raftstore.backup import backup_stream, save_backup
from raftstore.command import Compact
from raftstore.errors import JournalDamaged, NoSpace, StoreError
from raftstore.limits import MIB
from raftstore.model import Put
from raftstore.mvcc.machine import StateMachine
from raftstore.state_folder import MARKER_FILE

ROOT = Path(raftstore.__file__).parent


def names_in_the_code() -> set[str]:
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                assert isinstance(node.args[0], ast.Constant), f"{path}: a failpoint's name is a literal"
                found.add(str(node.args[0].value))
    return found


def test_what_is_declared_is_in_the_code_and_the_other_way_round() -> None:
    assert names_in_the_code() == set(failpoint.NAMES)


def test_a_name_that_does_not_exist_cannot_be_enabled() -> None:
    with pytest.raises(LookupError), failpoint.enabled({"no_such_place": lambda: None}):
        pass
    with failpoint.enabled({}), pytest.raises(LookupError):
        failpoint.failpoint("no_such_place")
    failpoint.failpoint("no_such_place")  # off: not even looked at


def test_an_action_runs_only_while_it_is_enabled() -> None:
    hits: list[str] = []
    with failpoint.enabled({"before_apply": lambda: hits.append("outer")}):
        with failpoint.enabled({"after_apply": lambda: hits.append("inner")}):
            failpoint.failpoint("before_apply")
            failpoint.failpoint("after_apply")
        failpoint.failpoint("after_apply")
    failpoint.failpoint("before_apply")
    assert hits == ["outer", "inner"]


# --- each is reached ----------------------------------------------------------------------------------


def run_replicas(folder: Path) -> None:
    eager = SnapshotOptions(journal_bytes_min=1, state_share=0.0, tail_entries=1)
    with replicas(folder, 3, places=True, snapshot=eager) as three:
        answer: Any = Answer()
        three[1].lease_grant(0, 2, answer)
        three.runtime.run()
        three.execute(1, Put(b"k", b"v", answer.value.id))
        three.put(b"f", member_id=2)
        three.read(1, b"k")
        three.execute(1, Compact(three[1].revision))
        three.runtime.advance(5.0)
        three.cluster.engines[3].hold_delivery = True
        three.put(b"missed")
        three.runtime.advance(2.0)
        three.cluster.engines[1].tell_snapshot_needed(3)
        three.runtime.advance(2.0)
        three[2].quarantine("a test says so")
        three.runtime.run()
        three.runtime.errors_expected = True


def run_journal() -> None:
    journal = founded(fake_disk())
    extend(journal, 200)
    sync(journal)
    journal.trim(journal.last_index)
    sync(journal)


def run_election(folder: Path) -> None:
    node = LoneNode(folder, size=1).start().lead(voters=())
    assert node.leads
    node.close()


def run_backup(folder: Path) -> None:
    store, machine = new_store(fake_disk()), StateMachine.open(folder, quota_bytes=MIB)
    with closing(machine):
        manifest = take(store, machine, folder)
        save_backup(folder / "backup", backup_stream(manifest, store.chunks(manifest)))


def test_every_place_is_reached(tmp_path: Path) -> None:
    hits: set[str] = set()

    def note(name: str) -> Callable[[], None]:
        return lambda: hits.add(name)

    with failpoint.enabled({name: note(name) for name in failpoint.NAMES}):
        run_replicas(tmp_path / "replicas")
        run_journal()
        run_election(tmp_path / "node")
        run_backup(tmp_path / "backup")
    assert hits == set(failpoint.NAMES)


# --- what is raised on a lane's thread ----------------------------------------------------------------


class Broken:
    """An action that breaks the first work to come by, and remembers on which thread."""

    def __init__(self, error: OSError) -> None:
        self.error = error
        self.threads: list[str] = []

    def __call__(self) -> None:
        self.threads.append(threading.current_thread().name)
        raise self.error


def config(folder: Path) -> StoreConfig:
    return StoreConfig(name="a", data_dir=folder, journal=SMALL, options=ReplicaOptions(quota_bytes=16 * MIB))


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 30))


@pytest.mark.parametrize(
    "name", ["journal_before_segment", "journal_before_write", "journal_after_write", "journal_after_sync"]
)
def test_an_error_in_the_journals_work_stops_the_replica_and_acknowledges_nothing(tmp_path: Path, name: str) -> None:
    broken = Broken(OSError(errno.EIO, "a test says so"))

    async def write() -> None:
        async with await Store.open(config(tmp_path)) as store:
            await store.put(b"acknowledged")
            with failpoint.enabled({name: broken}):
                with pytest.raises(StoreError) as refused:
                    await store.put(b"big", b"x" * 2 * SMALL.segment_bytes)
                assert not refused.value.definite
                assert isinstance(await store.stopped, JournalDamaged)

    async def read() -> None:
        async with await Store.open(config(tmp_path)) as store:
            assert await store.get(b"acknowledged") is not None

    run(write())
    assert len(broken.threads) == 1
    assert broken.threads[0].startswith("raftstore-journal")
    run(read())


def test_a_store_that_closes_while_its_journal_writes_leaves_no_file_open(tmp_path: Path) -> None:
    writing, closing_down = threading.Event(), threading.Event()

    def held() -> None:
        writing.set()
        assert closing_down.wait(30)

    async def body() -> None:
        store = await Store.open(config(tmp_path))
        with failpoint.enabled({"journal_before_write": held}):
            write = asyncio.ensure_future(store.put(b"k"))
            await asyncio.to_thread(writing.wait, 30)
            closed = asyncio.ensure_future(store.close())
            with pytest.raises(StoreError, match="shut down"):
                await write
            closing_down.set()
            await closed

    run(body())
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("name", ["snapshot_before_rename", "snapshot_before_manifest", "snapshot_after_manifest"])
def test_an_error_in_a_snapshots_work_fails_that_snapshot_alone(tmp_path: Path, name: str) -> None:
    broken = Broken(OSError(errno.ENOSPC, "a test says so"))

    async def write() -> None:
        async with await Store.open(config(tmp_path)) as store:
            await store.put(b"k")
            with failpoint.enabled({name: broken}), pytest.raises(NoSpace, match="a test says so"):
                await store.snapshot()
            assert broken.threads[0].startswith("raftstore-snapshot")
            await store.put(b"k")
            assert (await store.snapshot())[0] > 0

    run(write())


@pytest.mark.parametrize("name", ["state_before_rename", "state_after_rename"])
def test_a_rebuild_that_is_interrupted_is_done_again(tmp_path: Path, name: str) -> None:
    async def write() -> None:
        async with await Store.open(config(tmp_path)) as store:
            await store.put(b"k")

    async def interrupted() -> None:
        with (
            failpoint.enabled({name: Broken(OSError(errno.EIO, "so says a test"))}),
            pytest.raises(OSError, match="so says"),
        ):
            await Store.open(config(tmp_path))

    async def read() -> None:
        async with await Store.open(config(tmp_path)) as store:
            assert await store.get(b"k") is not None

    run(write())
    (tmp_path / "state" / MARKER_FILE).unlink()
    run(interrupted())
    assert not (tmp_path / "state" / MARKER_FILE).exists()
    run(read())


def test_a_backup_that_is_interrupted_leaves_no_file(tmp_path: Path) -> None:
    broken = {"backup_before_rename": Broken(OSError(errno.EIO, "a test says so"))}
    with failpoint.enabled(broken), pytest.raises(OSError, match="a test says so"):
        run_backup(tmp_path)
    assert not list(tmp_path.glob("backup*"))
