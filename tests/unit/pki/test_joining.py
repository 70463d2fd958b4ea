"""Who is given which keys, and that nobody but the asker can read them."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.api.errors import BadRequest, Conflict, Forbidden
from apiserver.auth import joining, keyring, pki
from apiserver.auth.join_token import ROLE_GROUPS
from apiserver.auth.user import User

MEMBERS = {"n1": "192.0.2.1:2380", "n2": "192.0.2.2:2380"}
SERVER = User(name="system:bootstrap:abcdef", groups=("system:bootstrappers", ROLE_GROUPS["server"]))
AGENT = User(name="system:bootstrap:ghijkl", groups=("system:bootstrappers", ROLE_GROUPS["agent"]))
REPLICA = User(name="kmini:server:n2", groups=(pki.SERVER_GROUP, "system:authenticated"))
ADMIN = User(name="kmini-admin", groups=("system:masters", "system:authenticated"))
NODE = User(name="system:node:w1", groups=("system:nodes", "system:authenticated"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.init_shared(folder)
    return folder


def join_request(name: str = "n3") -> joining.Asking:
    return joining.Asking(name, purpose=joining.PURPOSE_JOIN)


def hash_of(folder: Path) -> str:
    return pki.certificate_hash((folder / "ca.crt").read_bytes())


def test_a_replica_gets_the_shared_keys_and_the_members(folder: Path, tmp_path: Path) -> None:
    asking = join_request()
    answer = joining.hand_out(asking.body, SERVER, folder, MEMBERS)
    shared = joining.receive(asking, answer)
    assert shared.members == MEMBERS
    target = tmp_path / "DIR" / "pki"
    joining.accept(shared, target, hash_of(folder))
    joining.accept(shared, target, hash_of(folder))  # again, as after a crash
    for name in pki.SHARED_FILES:
        assert (target / name).read_bytes() == (folder / name).read_bytes()
        assert stat.S_IMODE((target / name).stat().st_mode) == (0o644 if name.endswith(".crt") else 0o600)


def test_nothing_of_the_keys_is_in_what_travels(folder: Path) -> None:
    asking = join_request()
    answer = joining.hand_out(asking.body, SERVER, folder, MEMBERS)
    for name in pki.SHARED_FILES:
        assert (folder / name).read_bytes()[:60] not in answer
    assert b"ca.key" not in answer
    assert b"192.0.2.1" not in answer
    assert "key" not in repr(joining.receive(asking, answer)).lower().replace("sharedkeys", "")


def test_only_the_asker_can_open_it(folder: Path) -> None:
    asking, other = join_request(), join_request()
    answer = joining.hand_out(asking.body, SERVER, folder, MEMBERS)
    with pytest.raises(ValueError, match="not sealed to"):
        joining.receive(other, answer)
    for field in ("publicKey", "nonce", "sealed"):
        changed = json.loads(answer)
        changed[field] = ("B" if changed[field][0] != "B" else "C") + changed[field][1:]
        with pytest.raises(ValueError, match="not sealed to"):
            joining.receive(asking, json.dumps(changed).encode())
    ring_answer = joining.hand_out_ring(asking.body, REPLICA, keyring.new_ring())
    with pytest.raises(ValueError, match="not sealed to"):
        joining.receive(asking, ring_answer)  # made for another purpose


@pytest.mark.parametrize("caller", [AGENT, REPLICA, ADMIN, NODE, User(name="system:anonymous")])
def test_only_a_server_token_gets_the_shared_keys(folder: Path, caller: User) -> None:
    with pytest.raises(Forbidden, match="role server"):
        joining.hand_out(join_request().body, caller, folder, MEMBERS)


@pytest.mark.parametrize("caller", [AGENT, SERVER, ADMIN, NODE, User(name="system:anonymous")])
def test_only_a_replica_gets_the_ring(caller: User) -> None:
    asking = joining.Asking("n2", purpose=joining.PURPOSE_RING, ring=keyring.new_ring())
    with pytest.raises(Forbidden, match="certificate of a replica"):
        joining.hand_out_ring(asking.body, caller, keyring.new_ring())


def test_a_ring_is_given_when_it_is_newer() -> None:
    old = keyring.new_ring()
    new = old.with_new_key()
    asking = joining.Asking("n2", purpose=joining.PURPOSE_RING, ring=old)
    answer = joining.hand_out_ring(asking.body, REPLICA, new)
    assert joining.receive_ring(asking, answer) == new
    assert new.keys[1].secret.hex().encode() not in answer
    assert joining.receive_ring(asking, joining.hand_out_ring(asking.body, REPLICA, old)) is None
    ahead = joining.Asking("n2", purpose=joining.PURPOSE_RING, ring=new)
    assert joining.receive_ring(ahead, joining.hand_out_ring(ahead.body, REPLICA, old)) is None


def test_another_ca_than_the_tokens_is_refused(folder: Path, tmp_path: Path) -> None:
    asking = join_request()
    shared = joining.receive(asking, joining.hand_out(asking.body, SERVER, folder, MEMBERS))
    with pytest.raises(ValueError, match="token names"):
        joining.accept(shared, tmp_path / "pki", "0" * 64)
    assert not (tmp_path / "pki").exists()


def test_another_clusters_folder_is_left_as_it_is(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    pki.init_shared(other)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    asking = join_request()
    shared = joining.receive(asking, joining.hand_out(asking.body, SERVER, folder, MEMBERS))
    with pytest.raises(ValueError, match="another cluster"):
        joining.accept(shared, other, hash_of(folder))
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"{}", "format"),
        (b"[" * 100_000, "body"),
        (b"\xff", "body"),
        (b'{"format": 2, "name": "n3", "publicKey": "AAAA"}', "format 2"),
        (b'{"format": 1, "name": "n3", "publicKey": "AAAA"}', "publicKey"),
        (b'{"format": 1, "name": "N 3", "publicKey": "' + b"A" * 43 + b'="}', "name"),
        (b'{"format": 1, "name": "n3", "publicKey": "' + b"A" * 43 + b'="}', "publicKey"),  # a point of no order
        (b'{"format": 1, "name": "n3", "publicKey": "", "more": 1}', "more"),
        (b" " * 100_000, "longer"),
    ],
)
def test_bad_requests_are_named(folder: Path, body: bytes, field: str) -> None:
    with pytest.raises(BadRequest, match=field):
        joining.hand_out(body, SERVER, folder, MEMBERS)


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"format": 2}', b'{"publicKey": "AAAA"}'])
def test_bad_answers_are_errors_of_value(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        joining.receive(join_request(), answer)


def test_a_broken_folder_is_not_handed_out(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "sa.key").unlink()
    with pytest.raises(keyring.PkiError, match=r"sa\.key"):
        joining.hand_out(join_request().body, SERVER, broken, MEMBERS)


# --- nodes ------------------------------------------------------------------------------------------------


def node_request(node_name: str = "w1", common_name: str = "system:node:w1") -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    return json.dumps({"format": 1, "nodeName": node_name, "request": pem}).encode()


def test_an_agent_gets_a_certificate_for_its_node(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    answer = json.loads(joining.admit_node(node_request(), AGENT, authority, node_exists=False))
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == "CN=system:node:w1,O=system:nodes"
    assert answer["ca"].encode() == authority.certificate_pem


@pytest.mark.parametrize("caller", [SERVER, REPLICA, ADMIN, NODE, User(name="system:anonymous")])
def test_only_an_agent_token_admits_a_node(folder: Path, caller: User) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    with pytest.raises(Forbidden, match="role agent"):
        joining.admit_node(node_request(), caller, authority, node_exists=False)


def test_a_token_is_not_enough_to_become_a_node_that_is_there(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    with pytest.raises(Conflict, match="w1 exists"):
        joining.admit_node(node_request(), AGENT, authority, node_exists=True)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (node_request("W1"), "nodeName"),
        (node_request("w2"), "system:node:w2"),
        (node_request(common_name="kmini-admin"), "system:node:w1"),
        (b'{"format": 1, "nodeName": "w1", "request": ""}', "PEM"),
        (b"{}", "body"),
    ],
)
def test_bad_requests_of_agents(folder: Path, body: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        joining.admit_node(body, AGENT, pki.load_authority(folder, pki.CLUSTER_CA), node_exists=False)
