"""Who may approve and sign certificates: the signer is named in the rule, not only the resource.

Kubernetes' CertificateApproval, CertificateSigning and CertificateSubjectRestriction. To approve one needs the verb
`approve`, to write a certificate the verb `sign`, on `signers` of that name or of its whole domain (`example.com/*`).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from apiserver.auth.escalation import Authorize
from apiserver.auth.signing import CLIENT, parse_request
from apiserver.auth.user import GROUP_MASTERS, Attributes

from .plugin import Admission, Base, Lookup, forbidden

GROUP = "certificates.k8s.io"
REQUESTS = f"{GROUP}/certificatesigningrequests"


class CertificateSigners(Base):
    name = "CertificateSigners"

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    async def check(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != REQUESTS or request.obj is None:
            return
        if request.operation == "CREATE" and not request.subresource:
            _check_subject(request)
        elif request.operation == "UPDATE" and request.subresource == "approval":
            await self._require(request, "approve")
        elif request.operation == "UPDATE" and request.subresource == "status" and _is_signed_now(request):
            await self._require(request, "sign")

    async def _require(self, request: Admission, verb: str) -> None:
        old: Any = request.old
        signer: str = old.spec.signer_name
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            wanted = Attributes(verb=verb, group=GROUP, version="*", resource="signers", name=name)
            if (await self._authorize(request.user, wanted)).allowed:
                return
        raise forbidden(request, f'user not permitted to {verb} requests with signerName "{signer}"')


def _is_signed_now(request: Admission) -> bool:
    new: Any = request.obj
    old: Any = request.old
    return (new.status.certificate, new.status.conditions) != (old.status.certificate, old.status.conditions)


def _check_subject(request: Admission) -> None:
    """No client certificate for the group that may do everything. What does not parse is validation's to refuse."""
    spec: Any = request.obj.spec if request.obj is not None else None
    if spec.signer_name != CLIENT:
        return
    try:
        wanted = parse_request(base64.b64decode(spec.request, validate=True))
    except (ValueError, binascii.Error):
        return
    if GROUP_MASTERS in wanted.organizations:
        raise forbidden(request, f"use of {CLIENT} signer with {GROUP_MASTERS} group is not allowed")
