"""Three real servers under load, their leader killed -9 again and again: what was promised holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos_load import PREFIX, Load
from kmini.client import EtcdClient
from kmini_process import eventually
from server_faults import leader_of, voters

from raftstore.model import prefix_end


@pytest.mark.timeout(900)
def test_what_was_acknowledged_read_and_watched_survives_the_leaders(tmp_path: Path) -> None:
    with voters(tmp_path) as servers:
        load = Load(servers)
        with load.running():
            for _ in range(4):
                before = len(load.acknowledged)
                eventually(lambda seen=before: len(load.acknowledged) > seen + 100, 90, "progress before the kill")
                leader = leader_of(servers)
                leader.kill()
                before = len(load.acknowledged)
                eventually(lambda seen=before: len(load.acknowledged) > seen + 50, 90, "progress without it")
                leader.start()
                leader.wait_ready()
            eventually(lambda: load.reads > 100, 90, "reads")
        with EtcdClient(servers[0].etcd_address, servers[0].pki) as etcd:
            stored = {kv.key: kv.mod_revision for kv in etcd.range(PREFIX, prefix_end(PREFIX)).kvs}
    assert not load.errors
    lost = [key for key, revision in load.acknowledged.items() if stored.get(key) != revision]
    assert not lost, f"{len(lost)} of {len(load.acknowledged)} acknowledged writes are gone or moved"
    assert stored.keys() <= load.acknowledged.keys() | load.indefinite
    assert load.stale() == []
    written = sorted((revision, key) for key, revision in stored.items())
    for seen in load.watched:
        assert seen == written[: len(seen)], "a watch lied: not every event once and in order"
        assert len(seen) >= len(load.acknowledged)
