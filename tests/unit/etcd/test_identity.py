"""Identity is the subject of the certificate; without one that can be read there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from etcd_pki import Authority

from raftstore.etcd import identity
from raftstore.etcd.identity import Gate, Identity, KeyRange
from raftstore.etcd.status import PERMISSION_DENIED, Refused


def allow_all(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
    return True


def test_name_and_groups_come_from_the_subject(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("someone", ("one", "two"))
    expected = Identity(name="someone", groups=frozenset({"one", "two"}))
    assert identity.identity_of(certificate.read_bytes()) == expected
    assert Gate(allow_all).identify({"x509_pem_cert": [certificate.read_bytes()]}) == expected


@pytest.mark.parametrize("context", [{}, {"x509_pem_cert": []}, {"x509_pem_cert": [b"not a certificate"]}])
def test_no_readable_certificate_is_no_identity(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(Refused) as caught:
        Gate(allow_all).identify(context)
    assert caught.value.status == PERMISSION_DENIED


def test_a_certificate_is_parsed_once_and_the_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    pems = [authority.issue(f"n{index}")[0].read_bytes() for index in range(3)]
    parsed: list[bytes] = []
    real = identity.identity_of

    def counting(pem: bytes) -> Identity:
        parsed.append(pem)
        return real(pem)

    monkeypatch.setattr(identity, "identity_of", counting)
    monkeypatch.setattr(identity, "CERTIFICATES_REMEMBERED_MAX", 2)
    gate = Gate(allow_all)
    for pem in (pems[0], pems[0], pems[1], pems[0], pems[2], pems[0]):
        assert gate.identify({"x509_pem_cert": [pem]}) == real(pem)
    assert parsed == [pems[0], pems[1], pems[2], pems[0]]


def test_the_rule_is_asked_with_what_the_call_touches() -> None:
    asked: list[tuple[str, KeyRange | None]] = []

    def rule(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
        asked.append((rpc, keys))
        return keys is None

    gate = Gate(rule)
    who = Identity(name="n", groups=frozenset())
    gate.check(who, "Maintenance.Status")
    with pytest.raises(Refused) as caught:
        gate.check(who, "KV.Put", KeyRange(b"k"))
    assert caught.value.status == PERMISSION_DENIED
    assert asked == [("Maintenance.Status", None), ("KV.Put", KeyRange(b"k", b""))]
