"""What needs a right of its own beside the right to write: signers, owners, roles."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from admission_world import ALICE, Rights, made, pass_through, refusal, write
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.admission.certificates import REQUESTS, CertificateSigners
from apiserver.admission.escalation import RbacEscalation
from apiserver.admission.ownership import OwnerReferences
from apiserver.api.errors import Forbidden

SIGNER = "example.com/web"


def request(signer: str = SIGNER, *, pem: str = "", **status: Any) -> Any:
    return made(REQUESTS, "csr", spec={"signerName": signer, "request": pem}, status=status)


# --- signers --------------------------------------------------------------------------------------------

DECISION = {"conditions": [{"type": "Approved", "status": "True"}]}


@pytest.mark.parametrize(
    ("subresource", "verb", "status"),
    [("approval", "approve", DECISION), ("status", "sign", {"certificate": "eA=="}), ("status", "sign", DECISION)],
)
def test_a_signer_lets_those_it_names(subresource: str, verb: str, status: dict[str, Any]) -> None:
    def writing() -> Any:
        return write(REQUESTS, request(**status), request(), subresource=subresource)

    for allowed in (SIGNER, "example.com/*"):
        rights = Rights((verb, "signers", allowed))
        pass_through(CertificateSigners(rights), writing())
        assert {each.group for each in rights.asked} == {"certificates.k8s.io"}
    for other in ("example.com/other", "other.com/*", "*"):
        error = refusal(CertificateSigners(Rights((verb, "signers", other))), writing())
        assert error.message == (
            'certificatesigningrequests.certificates.k8s.io "csr" is forbidden: '
            f'user not permitted to {verb} requests with signerName "{SIGNER}"'
        )


def test_the_signer_is_that_of_the_stored_request() -> None:
    rights = Rights(("approve", "signers", "mine.com/x"))
    error = refusal(
        CertificateSigners(rights), write(REQUESTS, request("mine.com/x"), request(), subresource="approval")
    )
    assert SIGNER in error.message


def test_a_status_that_signs_nothing_needs_no_right() -> None:
    pass_through(CertificateSigners(Rights()), write(REQUESTS, request(), request(), subresource="status"))
    pass_through(CertificateSigners(Rights()), write(REQUESTS, request(), request()))


def pem_for(organization: str) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = csr.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def test_nobody_asks_to_be_master() -> None:
    client = "kubernetes.io/kube-apiserver-client"
    error = refusal(CertificateSigners(Rights()), write(REQUESTS, request(client, pem=pem_for("system:masters"))))
    assert error.message.endswith(f"use of {client} signer with system:masters group is not allowed")
    pass_through(CertificateSigners(Rights()), write(REQUESTS, request(client, pem=pem_for("team"))))
    pass_through(CertificateSigners(Rights()), write(REQUESTS, request(SIGNER, pem=pem_for("system:masters"))))


# --- owners ---------------------------------------------------------------------------------------------


def owned(kind: str = "ReplicaSet", *, api_version: str = "apps/v1", blocks: bool = True) -> Any:
    owner = {"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks}
    return made("pods", "web", namespace="team", metadata={"ownerReferences": [owner]})


def test_to_block_an_owner_one_must_be_able_to_finalize_it() -> None:
    rights = Rights(("update", "replicasets/finalizers", "o"))
    pass_through(OwnerReferences(rights), write("pods", owned()))
    (asked,) = rights.asked
    assert (asked.group, asked.namespace) == ("apps", "team")
    error = refusal(OwnerReferences(Rights()), write("pods", owned()))
    assert error.message == (
        'pods "web" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you '
        "can't set finalizers on: no rule"
    )


def test_an_owner_of_the_cluster_is_asked_for_without_namespace() -> None:
    rights = Rights(("update", "nodes/finalizers", "o"))
    pass_through(OwnerReferences(rights), write("pods", owned("Node", api_version="v1")))
    assert rights.asked[0].namespace == ""


def test_what_blocked_before_needs_no_right_again() -> None:
    pass_through(OwnerReferences(Rights()), write("pods", owned(), owned()))
    refusal(OwnerReferences(Rights()), write("pods", owned(), owned(blocks=False)))


def test_owners_that_are_not_blocked_need_no_right() -> None:
    pass_through(OwnerReferences(Rights()), write("pods", owned(blocks=False)))
    pass_through(OwnerReferences(Rights()), write("pods", None, owned(), operation="DELETE"))


def test_a_kind_that_nobody_knows_cannot_be_blocked() -> None:
    error = refusal(OwnerReferences(Rights()), write("pods", owned("Odd", api_version="example.com/v1")))
    assert "cannot find RESTMapping for APIVersion example.com/v1 Kind Odd" in error.message


# --- roles ----------------------------------------------------------------------------------------------


class Checks:
    """Refuses everything, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, bool]] = []

    async def check_role(self, user: Any, role: Any, old: Any) -> None:
        self._refuse("role", user, role, old)

    async def check_binding(self, user: Any, binding: Any, old: Any) -> None:
        self._refuse("binding", user, binding, old)

    def _refuse(self, what: str, user: Any, obj: Any, old: Any) -> None:
        self.seen.append((what, user.name, obj.kind, old is not None))
        raise Forbidden("escalation")


@pytest.mark.parametrize(
    ("plural", "what"),
    [
        ("roles", "role"),
        ("clusterroles", "role"),
        ("rolebindings", "binding"),
        ("clusterrolebindings", "binding"),
    ],
)
@pytest.mark.parametrize("update", [False, True])
def test_all_four_kinds_pass_the_check_of_escalation(plural: str, what: str, update: bool) -> None:
    key = f"rbac.authorization.k8s.io/{plural}"
    obj = made(key, "r", namespace="team" if plural.startswith("role") else "")
    checks = Checks()
    refusal(RbacEscalation(checks), write(key, obj, obj if update else None))
    assert checks.seen == [(what, ALICE.name, obj.kind, update)]


def test_a_deletion_hands_out_nothing() -> None:
    key = "rbac.authorization.k8s.io/roles"
    pass_through(RbacEscalation(Checks()), write(key, None, made(key, "r", namespace="team"), operation="DELETE"))
