"""The restore drill: save online, verify, lose everything, restore into a new cluster, go on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kmini.client import EtcdClient
from kmini_process import Server, environment, eventually, kmini, running

from raftstore.backup import REVISION_STEP

KEYS = 200
PASSPHRASE = "correct horse battery"


def client(server: Server) -> EtcdClient:
    return EtcdClient(server.etcd_address, server.pki)


def facts(*arguments: object) -> dict[str, Any]:
    """What a snapshot command says with -o json; it must succeed."""
    done = kmini("snapshot", *arguments, "-o", "json", KMINI_KEYS_PASSPHRASE=PASSPHRASE)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Server]:
    """A folder with backup.kmini, keys.json and etcd.db of a server that runs on while they are taken."""
    folder = tmp_path_factory.mktemp("drill")
    server = Server("n1", folder / "n1")
    with running(server):
        with client(server) as etcd:
            for number in range(KEYS):
                etcd.put(f"k{number:04}".encode(), b"v" * 1000)
            etcd.delete(b"k0000")
        said = facts(
            "save", folder / "backup.kmini", "--data-dir", server.data_dir, "--with-keys", folder / "keys.json"
        )
        plain = kmini("snapshot", "save", folder / "plain.kmini", "--data-dir", server.data_dir)
        assert (plain.returncode, "--with-keys" in plain.stderr) == (0, True)
        if shutil.which("etcdctl"):
            etcdctl_save(server, folder / "etcd.db")
        with client(server) as etcd:
            etcd.put(b"later", b"not in the backup")
    return folder, said, server


def etcdctl_save(server: Server, path: Path) -> None:
    certificate = [
        "--cacert",
        server.pki / "ca.crt",
        "--cert",
        server.pki / "admin.crt",
        "--key",
        server.pki / "admin.key",
    ]
    command = ["etcdctl", "--endpoints", f"https://{server.etcd_address}", *certificate, "snapshot", "save", path]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, env=environment(), timeout=120)


def test_what_was_saved_verifies(saved: tuple[Path, dict[str, Any], Server]) -> None:
    folder, said, _server = saved
    assert facts("verify", folder / "backup.kmini") == said
    assert said["member_name"] == "n1"
    assert said["revision"] >= KEYS
    assert (folder / "backup.kmini").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "more", "empty", "text"])
def test_a_damaged_file_is_refused(saved: tuple[Path, dict[str, Any], Server], tmp_path: Path, damage: str) -> None:
    content = bytearray((saved[0] / "backup.kmini").read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    changed = {
        "cut": bytes(content[:-1]),
        "flip": bytes(content),
        "more": bytes(content) + b"x",
        "empty": b"",
        "text": b"not a backup",
    }[damage]
    bad = tmp_path / "bad.kmini"
    bad.write_bytes(changed)
    for command in (["verify", bad], ["restore", bad, "--data-dir", tmp_path / "new"]):
        done = kmini("snapshot", *command)
        assert done.returncode == 1
        assert "bad.kmini" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new" / "raft").exists()


@pytest.mark.parametrize("source", ["backup.kmini", "etcd.db"])
def test_a_restored_cluster_has_the_data_and_fences_the_old_one(
    saved: tuple[Path, dict[str, Any], Server], tmp_path: Path, source: str
) -> None:
    folder, said, old = saved
    if not (folder / source).exists():
        pytest.skip("etcdctl is not installed (Debian: etcd-client)")
    server = Server("n1", tmp_path / "restored", "--advertise-address", "127.0.0.1")
    place = ["--data-dir", server.data_dir, "--name", "n1", "--advertise-address", "127.0.0.1"]
    restored = facts(
        "restore", folder / source, *place, "--peer-port", server.peer_port, "--keys", folder / "keys.json"
    )
    assert restored["cluster_id"] != said["cluster_id"]
    assert restored["revision"] >= said["revision"] + REVISION_STEP
    assert (server.pki / "ca.crt").read_bytes() == (old.pki / "ca.crt").read_bytes()
    with running(server):
        with client(server) as etcd:
            got = etcd.range(b"k", b"l")
            assert [kv.key for kv in got.kvs] == [f"k{number:04}".encode() for number in range(1, KEYS)]
            assert {kv.value for kv in got.kvs} == {b"v" * 1000}
            assert etcd.range(b"later").count == 0
            assert etcd.put(b"new", b"v").header.revision > said["revision"] + REVISION_STEP
        assert server.status()["cluster"]["cluster_id"] == restored["cluster_id"]
        server.kill()
        server.start()
        server.wait_ready()
        with client(server) as etcd:
            assert etcd.range(b"k", b"l").count == KEYS - 1
            assert etcd.range(b"new").count == 1


def test_keys_need_their_passphrase(saved: tuple[Path, dict[str, Any], Server], tmp_path: Path) -> None:
    folder, _said, old = saved
    assert (old.pki / "ca.key").read_text().splitlines()[1] not in (folder / "keys.json").read_text()
    restore = ["restore", folder / "backup.kmini", "--data-dir", tmp_path / "new", "--keys", folder / "keys.json"]
    none = kmini("snapshot", *restore)
    assert (none.returncode, "--passphrase-file" in none.stderr) == (1, True)
    wrong = kmini("snapshot", *restore, KMINI_KEYS_PASSPHRASE="another one")
    assert (wrong.returncode, "keys.json does not open" in wrong.stderr) == (1, True)
    assert not (tmp_path / "new" / "raft").exists()


def test_a_directory_that_holds_a_replica_is_left_alone(saved: tuple[Path, dict[str, Any], Server]) -> None:
    folder, _said, old = saved
    before = sorted(path.name for path in (old.data_dir / "raft").rglob("*"))
    done = kmini("snapshot", "restore", folder / "backup.kmini", "--data-dir", old.data_dir)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert sorted(path.name for path in (old.data_dir / "raft").rglob("*")) == before


def test_saving_needs_a_server_that_runs(tmp_path: Path) -> None:
    done = kmini("snapshot", "save", tmp_path / "backup", "--data-dir", tmp_path)
    assert done.returncode == 1
    assert "nothing runs" in done.stderr
    assert not (tmp_path / "backup").exists()


def test_scheduled_backups_are_whole_and_few(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    server = Server("n1", tmp_path / "n1", "--snapshot-every", "1s", "--snapshot-keep", 2, "--snapshot-dir", backups)
    with running(server):
        first = eventually(lambda: sorted(backups.glob("*.kmini")), what="a first backup")
        eventually(lambda: not first[0].exists(), what="the oldest makes room", timeout_s=60)
        eventually(lambda: len(list(backups.glob("*.kmini"))) == 2, what="no more than are to be kept")
        assert server.terminate() == 0
    kept = sorted(backups.iterdir())
    assert len(kept) in (2, 3), "the third was under way when the server was told to end"
    for path in kept:
        assert facts("verify", path)["member_name"] == "n1"
