"""Certificate signing requests: who asks is written down by the server, and what is approved is signed at once.

An approved request carries its certificate from the write that approves it; the CA's key never leaves this process. A
request that breaks its signer's rules gets a Failed condition instead, as Kubernetes' signers do. What a node asks for
itself needs no person (`approved_by_rule`): it is approved and signed by the write that creates it.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from apiserver.api.certificates import CertificateSigningRequestCondition
from apiserver.api.times import now_text
from apiserver.auth.signing import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY_UNKNOWN,
    approved_by_rule,
    sign,
)
from apiserver.effects.effect import CREATE, Write

if TYPE_CHECKING:
    from apiserver.auth.pki import KeyPair

SIGNERS = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN})


class SignApproved:
    """The effect of writes to CertificateSigningRequests."""

    def __init__(
        self, authority: KeyPair, clock: Callable[[], float] = time.time, *, server_names: Collection[str] = ()
    ) -> None:
        """`server_names`: what servers are called; no node gets a certificate for one without a person."""
        self._authority = authority
        self._server_names = server_names
        self._clock = clock

    async def plan(self, write: Write) -> None:
        request: Any = write.obj
        if request is None:
            return
        if write.verb == CREATE:
            spec, user = request.spec, write.user
            spec.username, spec.uid, spec.groups = user.name, user.uid, list(user.groups)
            spec.extra = {key: list(values) for key, values in user.extra.items()}
            if approved_by_rule(spec, user, reserved=self._server_names):
                request.status.conditions.append(
                    self._condition("Approved", "AutoApproved", "A node asks for its own certificate.")
                )
        if self._is_due(request) and not write.dry_run:  # a certificate is never for show
            await self._sign(request)

    @staticmethod
    def _is_due(request: Any) -> bool:
        decided = {condition.type for condition in request.status.conditions}
        return (
            "Approved" in decided
            and "Failed" not in decided
            and not request.status.certificate
            and request.spec.signer_name in SIGNERS
        )

    async def _sign(self, request: Any) -> None:
        try:
            pem = await asyncio.to_thread(sign, request.spec, self._authority)
        except ValueError as error:
            request.status.conditions.append(self._condition("Failed", "SignerValidationFailure", str(error)))
        else:
            request.status.certificate = base64.b64encode(pem.encode()).decode()

    def _condition(self, kind: str, reason: str, message: str) -> CertificateSigningRequestCondition:
        now = now_text(self._clock)
        return CertificateSigningRequestCondition(
            type=kind, status="True", reason=reason, message=message, last_update_time=now, last_transition_time=now
        )
