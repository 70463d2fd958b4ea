"""Keys and certificates in the agent's folder, and the file with the token: good ones are used, others are named."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from apiserver.auth import pki, signing
from nodeagent.errors import AgentError, BadIdentity, JoinRefused, NoAnswer
from nodeagent.identity import Identity, certificate_hash, write_file
from nodeagent.joining import TOKEN_BYTES_MAX, read_token
from nodeagent.keys import NodeKeys, validity_of

GOOD = "K1" + "a" * 64 + ".abcdef.0123456789abcdef"


@pytest.fixture(scope="module")
def authority() -> pki.KeyPair:
    return pki.make_authority("test")


def signed(authority: pki.KeyPair, request: str, *, days: int = 30) -> bytes:
    wanted = signing.parse_request(request.encode())
    usages = ("digital signature", "client auth")
    lifetime = datetime.timedelta(days=days)
    made = signing.sign_request(wanted, authority, signer=signing.KUBELET_CLIENT, usages=usages, lifetime=lifetime)
    return made.encode()


def keys(folder: Path, node_name: str) -> NodeKeys:
    return NodeKeys(Identity(folder, node_name).question("look"))


def test_a_request_is_what_the_signer_wants(tmp_path: Path) -> None:
    wanted = signing.parse_request(keys(tmp_path, "n1").new_request().encode())
    assert (wanted.common_name, wanted.organizations, wanted.names) == ("system:node:n1", ("system:nodes",), ())


def test_the_key_is_on_disk_before_it_is_used_and_never_open_to_others(tmp_path: Path, authority: pki.KeyPair) -> None:
    identity = keys(tmp_path / "agent", "n1")
    request = identity.new_request()
    assert (tmp_path / "agent").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "agent" / "client.key").stat().st_mode & 0o777 == 0o600
    assert _key_of(identity.new_request()) == _key_of(request), "an answer that comes late must still fit"
    identity.accept(signed(authority, request))
    assert (tmp_path / "agent" / "client.pem").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "agent" / "client.key").exists()
    assert _key_of(identity.new_request()) != _key_of(request), "a renewal has a key of its own"


def _key_of(request: str) -> object:
    return x509.load_pem_x509_csr(request.encode()).public_key().public_numbers()  # type: ignore[union-attr]


def test_times_of_a_certificate(tmp_path: Path, authority: pki.KeyPair) -> None:
    identity = keys(tmp_path, "n1")
    certificate = identity.accept(signed(authority, identity.new_request(), days=30))
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    validity = validity_of(certificate)
    assert abs((validity.due_at - begin) / (end - begin) - 2 / 3) < 1e-6
    assert not validity.is_over(end - 1)
    assert validity.is_over(end)
    assert identity.certificate() == certificate


def test_an_answer_for_somebody_else_is_not_taken(tmp_path: Path, authority: pki.KeyPair) -> None:
    identity, other = keys(tmp_path / "one", "n1"), keys(tmp_path / "two", "n2")
    identity.new_request()
    with pytest.raises(BadIdentity, match="is not for our key"):
        identity.accept(signed(authority, other.new_request()))
    with pytest.raises(BadIdentity, match="cannot be used"):
        identity.accept(b"nonsense")
    assert identity.certificate() is None


def test_bad_files_are_named(tmp_path: Path, authority: pki.KeyPair) -> None:
    identity = keys(tmp_path, "n1")
    assert identity.certificate() is None
    assert Identity(tmp_path, "n1").authority_hash() is None
    identity.accept(signed(authority, identity.new_request()))
    good = (tmp_path / "client.pem").read_bytes()
    with pytest.raises(BadIdentity, match=r"is the certificate of system:node:n1, not of system:node:n2"):
        keys(tmp_path, "n2").certificate()
    (tmp_path / "client.pem").write_bytes(good[: len(good) // 2])
    with pytest.raises(BadIdentity, match=r"client\.pem holds no certificate with its key"):
        identity.certificate()
    other = keys(tmp_path / "other", "n1")
    other.accept(signed(authority, other.new_request()))
    mixed = good.split(b"-----BEGIN PRIVATE")[0] + b"-----BEGIN PRIVATE"
    mixed += (tmp_path / "other" / "client.pem").read_bytes().split(b"-----BEGIN PRIVATE")[1]
    (tmp_path / "client.pem").write_bytes(mixed)
    with pytest.raises(BadIdentity, match="the key is not the certificate's"):
        identity.certificate()
    (tmp_path / "ca.crt").write_text("x")
    with pytest.raises(BadIdentity, match=r"ca\.crt holds no certificate"):
        Identity(tmp_path, "n1").authority_hash()


def test_it_is_done_by_a_process_of_its_own(tmp_path: Path, authority: pki.KeyPair) -> None:
    async def story() -> None:
        identity = Identity(tmp_path, "n1")
        assert await identity.validity() is None
        await identity.accept(signed(authority, await identity.new_request(), days=30))
        validity = await identity.validity()
        assert validity is not None
        assert validity.end - validity.begin >= 30 * 86_400 - 1
        with pytest.raises(BadIdentity, match=r"is the certificate of system:node:n1, not of system:node:n2"):
            await Identity(tmp_path, "n2").validity()
        with pytest.raises(BadIdentity, match="cannot be used"):
            await identity.accept(b"nonsense")

    asyncio.run(story())


def test_an_agent_does_without_the_library_for_keys() -> None:
    """It takes an eighth of the memory."""
    script = "import sys, kmini.agent, nodeagent.parts, nodeagent.server.serving; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_hash_of_a_ca_is_what_tokens_carry(authority: pki.KeyPair) -> None:
    assert certificate_hash(authority.certificate_pem) == pki.certificate_hash(authority.certificate_pem)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_file(target, b"old")
    (tmp_path / "file.part").mkdir()
    with pytest.raises(BadIdentity, match="cannot write"):
        write_file(target, b"new")
    assert target.read_bytes() == b"old"


# --- the token file -----------------------------------------------------------------------------------


def read(content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "token"
        path.write_bytes(content)
        return read_token(path).text


def test_a_good_token() -> None:
    assert read(f"  {GOOD}\r\n".encode()) == GOOD


@given(st.binary(max_size=300))
@example(b"")
@example(GOOD.encode() + b"x")
@example(GOOD.encode() * 2)
@example(GOOD.replace("a", "A").encode())
@example(b"\xff" * 40)
@example(b"K1" + b"0" * TOKEN_BYTES_MAX)
def test_anything_else_is_one_clear_line_without_the_secret(content: bytes) -> None:
    with pytest.raises(JoinRefused) as caught:
        read(content)
    message = str(caught.value)
    assert message.startswith("cannot use the token in ")
    assert "\n" not in message
    assert "0123456789abcdef" not in message


@given(
    st.integers(0, len(GOOD) - 1),
    st.characters(codec="ascii", exclude_characters="abcdefghijklmnopqrstuvwxyz0123456789"),
)
def test_one_wrong_character_is_enough(position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    if changed.strip() == GOOD or changed == GOOD:
        return
    with pytest.raises(JoinRefused):
        read(changed.encode())


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="there is no token in"):  # it may come yet
        read_token(tmp_path / "none")
    with pytest.raises(AgentError, match="Is a directory"):
        read_token(tmp_path)
