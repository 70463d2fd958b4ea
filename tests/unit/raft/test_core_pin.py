"""The guard relies on undocumented order inside the library: an upgrade must fail loudly.

The digests are of the source of every function of pysyncobj 0.3.17 that an entry point of core.py can
reach. When this fails, read the difference, run the simulator, and only then print new ones:
`python tests/unit/raft/test_core_pin.py`.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from importlib.metadata import version

from pysyncobj.syncobj import SyncObj
from pysyncobj.transport import Transport

FUNCTIONS = (
    "__init__",
    "_applyCommand",
    "_checkCommandsToApply",
    "_onTick",
    "_SyncObj__applyLogEntries",
    "_SyncObj__doApplyCommand",
    "_SyncObj__onMessageReceived",
    "_SyncObj__sendNextNodeIdx",
    "_SyncObj__generateRaftTimeout",
    "_SyncObj__onReadonlyNodeConnected",
    "_SyncObj__onReadonlyNodeDisconnected",
    "_SyncObj__onNodeConnected",
    "_SyncObj__onNodeDisconnected",
    "_SyncObj__getCurrentLogIndex",
    "_SyncObj__getCurrentLogTerm",
    "_SyncObj__getPrevLogIndexTerm",
    "_SyncObj__getEntries",
    "_SyncObj__deleteEntriesFrom",
    "_SyncObj__onBecomeLeader",
    "_SyncObj__setCurrentTerm",
    "_SyncObj__setState",
    "_SyncObj__onLeaderChanged",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__connectedToAnyone",
    "_SyncObj__parseChangeClusterRequest",
    "_SyncObj__tryLogCompaction",
)
PINNED = "99b31522834977adb0bd640c54b89cb45f242936b4b898e75f33f2a010163446"


def digest() -> str:
    sources = [inspect.getsource(getattr(SyncObj, name)) for name in FUNCTIONS]
    sources.append(inspect.getsource(Transport))
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()


def test_the_library_is_the_one_the_guard_was_proved_around() -> None:
    assert version("pysyncobj") == "0.3.17"
    assert digest() == PINNED


if __name__ == "__main__":
    sys.stdout.write(digest() + "\n")
