"""Certificate requests are signed by the write that approves them, and a node's own by the write that creates them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.api.certificates import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
)
from apiserver.auth import pki, signing
from apiserver.auth.user import User
from apiserver.effects.effect import CREATE, UPDATE, Write
from apiserver.effects.signing import SignApproved
from apiserver.registry.table import table
from apiserver.storage import Transaction

AUTHORITY = pki.make_authority("test CA")
NODE = User(name="system:node:w1", groups=("system:nodes", "system:authenticated"))
PERSON = User(name="ann", groups=("system:authenticated",), uid="7", extra={"k": ("v",)})


def asked(signer: str, usages: list[str], common_name: str = "system:node:w1") -> CertificateSigningRequest:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text = base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()
    return CertificateSigningRequest(
        spec=CertificateSigningRequestSpec(request=text, signer_name=signer, usages=usages)
    )


def planned(obj: Any, user: User, verb: str = CREATE, *, dry_run: bool = False) -> Any:
    row = table().of_key("certificates.k8s.io/certificatesigningrequests")
    write = Write(
        resource=row,
        verb=verb,
        namespace="",
        name="r",
        obj=obj,
        old=None,
        transaction=Transaction(),
        user=user,
        dry_run=dry_run,
    )
    asyncio.run(SignApproved(AUTHORITY).plan(write))
    return obj


def signed(obj: Any) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(base64.b64decode(obj.status.certificate))
    certificate.verify_directly_issued_by(AUTHORITY.certificate)
    return certificate


def test_a_node_renews_its_certificate_in_one_write() -> None:
    done = planned(asked(signing.KUBELET_CLIENT, ["digital signature", "client auth"]), NODE)
    assert [condition.type for condition in done.status.conditions] == ["Approved"]
    assert signed(done).subject.rfc4514_string() == "CN=system:node:w1,O=system:nodes"


def test_nothing_is_signed_in_a_dry_run() -> None:
    """Else somebody would hold a certificate of which the cluster knows nothing."""
    usages = ["digital signature", "client auth"]
    done = planned(asked(signing.KUBELET_CLIENT, usages), NODE, dry_run=True)
    assert [condition.type for condition in done.status.conditions] == ["Approved"]
    assert not done.status.certificate


def test_who_asks_is_written_down_and_waits() -> None:
    obj = asked(signing.KUBELET_CLIENT, ["digital signature", "client auth"])
    obj.spec.username, obj.spec.groups = "system:node:w1", ["system:nodes"]  # what a client says of itself counts not
    done = planned(obj, PERSON)
    assert (done.spec.username, done.spec.uid, done.spec.groups) == ("ann", "7", ["system:authenticated"])
    assert done.spec.extra == {"k": ["v"]}
    assert (done.status.conditions, done.status.certificate) == ([], "")


def test_approval_signs_and_a_broken_rule_fails() -> None:
    approved = CertificateSigningRequestCondition(type="Approved", status="True")
    good = asked(signing.KUBELET_CLIENT, ["digital signature", "client auth"])
    good.status.conditions.append(approved)
    assert signed(planned(good, PERSON, UPDATE))
    bad = asked(signing.KUBELET_CLIENT, ["server auth"])
    bad.status.conditions.append(approved)
    done = planned(bad, PERSON, UPDATE)
    assert [condition.type for condition in done.status.conditions] == ["Approved", "Failed"]
    assert "usages" in done.status.conditions[1].message
    assert not done.status.certificate
