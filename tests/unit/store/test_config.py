"""Settings that contradict each other are named before anything is touched; the public face is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

import raftstore
from raftstore import StoreConfig
from raftstore.errors import InvalidRequest
from raftstore.identity import PeerIdentity
from raftstore.raft.credentials import Credentials


def no_credentials(identity: PeerIdentity) -> Credentials:
    raise AssertionError("not asked for here")


def test_one_replica_needs_a_name_and_a_folder(tmp_path: Path) -> None:
    StoreConfig(name="a", data_dir=tmp_path).check()
    with pytest.raises(InvalidRequest, match="name"):
        StoreConfig(name="", data_dir=tmp_path).check()


def test_a_replica_is_in_its_own_list(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="'a'"):
        StoreConfig(name="a", data_dir=tmp_path, peers={"b": "h:1"}, credentials_for=no_credentials).check()


def test_a_peer_port_needs_certificates(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="credentials_for"):
        StoreConfig(name="a", data_dir=tmp_path, address="h:1").check()


def test_an_address_is_host_and_port(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="'a'"):
        StoreConfig(name="a", data_dir=tmp_path, address="nonsense", credentials_for=no_credentials).check()


def test_folders_default_to_the_contracts(tmp_path: Path) -> None:
    config = StoreConfig(name="a", data_dir=tmp_path)
    assert (config.raft_folder, config.state_folder) == (tmp_path / "raft", tmp_path / "state")
    elsewhere = StoreConfig(name="a", data_dir=tmp_path, state_dir=tmp_path / "ram")
    assert elsewhere.state_folder == tmp_path / "ram"


def test_the_public_face_is_all_there() -> None:
    assert sorted(raftstore.__all__) == list(raftstore.__all__)
    for name in raftstore.__all__:
        assert getattr(raftstore, name) is not None
