"""Protections that are structure: what the stock library does, and that nothing of it can be reached here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lone_node import LoneNode, run_of

from raftstore.raft import guard
from raftstore.raft.messages import _FIELDS

ROOT = Path(__file__).parents[3]

STOCK_UNPICKLES_AN_ENTRY = """
import os, pickle, sys
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

class Quiet(Transport):
    def send(self, node, message): return True

class Evil:
    def __reduce__(self): return (os.mkdir, (sys.argv[1],))

follower = SyncObj(Node("a"), [Node("b")], SyncObjConf(autoTick=False), nodeClass=Node, transportClass=Quiet)
entry = (b"\\0" + pickle.dumps(Evil()), 2, 1)
message = {"type": "append_entries", "term": 1, "commit_index": 2, "entries": [entry]}
message.update(prevLogIdx=1, prevLogTerm=0)
follower._SyncObj__transport._onMessageReceived(Node("b"), message)
try:
    follower.doTick()
except Exception:
    pass
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LoneNode]:
    made = LoneNode(tmp_path / "1").start()
    yield made
    made.close()


def test_pickle_runs_code_in_the_stock_library(tmp_path: Path) -> None:
    target = tmp_path / "made-by-a-log-entry"
    subprocess.run([sys.executable, "-c", STOCK_UNPICKLES_AN_ENTRY, str(target)], check=True, timeout=60)
    assert target.exists()


def test_pickle_is_not_reachable_here(node: LoneNode) -> None:
    import pysyncobj.syncobj as syncobj

    with pytest.raises(AssertionError, match="pickle is not reachable"):
        syncobj.pickle.loads(b"\x80\x04N.")
    node.append(2, 1, (1, 0), [(b"\x00\x80\x04N.", 2, 1)], commit=2)
    assert node.status.last_index == 1
    assert node.node.counters["malformed_append"] == 1


def test_pickle_is_imported_nowhere_in_the_product() -> None:
    importing = re.compile(r"^\s*(import|from)\s+(pickle|cPickle|dill|cloudpickle|shelve|marshal)\b", re.MULTILINE)
    folders = ("raftstore", "apiserver", "controlplane", "nodeagent", "jepsen", "tools")
    found = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if importing.search(path.read_text())
    ]
    assert not found


def test_opaque_entries_reach_the_listener_untouched_and_the_core_never(node: LoneNode) -> None:
    node.append(2, 1, (1, 0), run_of(2, 4, 1), commit=4)
    assert node.recorder.values == [b"2.1", b"3.1", b"4.1"]
    log = node.node._context.core._log
    assert {entry[0] for entry in log[0:10]} == {b"\x01"}


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "append_entries", "term": 2, "commit_index": 1000, "serialized": (b"x", True, False)},
        {"type": "append_entries", "term": 2, "commit_index": 9, "transmission": "start", "data": b"x"},
        {"type": "apply_command", "command": b"\x00x"},
        {"type": "next_node_idx", "next_node_idx": 9, "reset": False, "success": True},
    ],
)
def test_snapshot_and_command_messages_of_the_core_are_refused(node: LoneNode, fields: dict[str, object]) -> None:
    node.node.received(2, fields)
    assert node.node.counters["malformed_message"] == 1
    assert node.status.term == 0


def test_snapshot_machinery_of_the_core_is_told_that_there_is_none(node: LoneNode) -> None:
    import pysyncobj.syncobj as syncobj

    serializer = syncobj.Serializer()
    assert serializer.getTransmissionData(object()) is None
    assert serializer.setTransmissionData((b"x", True, True)) is False


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 1 << 70),
    st.binary(max_size=8),
    st.text(max_size=4),
    st.lists(st.one_of(st.integers(), st.lists(st.one_of(st.binary(max_size=4), st.integers(-2, 9)), max_size=4))),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kind=st.sampled_from([*_FIELDS, "", "unknown"]), chosen=st.data())
def test_garbage_from_an_authenticated_peer_changes_nothing(node: LoneNode, kind: str, chosen: st.DataObject) -> None:
    before = node.status.last_index
    fields = {name: chosen.draw(_VALUES) for name in _FIELDS.get(kind, {"term": int})}
    node.node.received(2, {"type": kind, **fields})
    node.runtime.run()
    assert not node.recorder.failures
    assert node.status.last_index == before or kind == "append"


def test_the_table_in_the_documentation_is_the_one_in_the_code() -> None:
    assert (ROOT / "docs" / "guard.md").read_text() == guard.render_table(), (
        "run: python -m raftstore.raft.guard > docs/guard.md"
    )
