"""CertificateSigningRequests that have served their purpose are deleted (Kubernetes' certificate cleaner).

There is no approving and no signing here. What a node asks for itself is approved by the write that creates it, and
what is approved is signed by the write that approves it (apiserver/effects/signing.py), so that the CA's key stays in
the API server; a node's first certificate comes from joining; everything else is for people to decide. What is left is
that decided and forgotten requests pile up.

Ages are those of timestamps, by the wall clock: should it jump, a request that was still to be decided may have to be
made again.
"""

from __future__ import annotations

import base64
import binascii

from apiserver.api.certificates import CertificateSigningRequest
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from controlplane.runtime import Context, Part

from .periodic import Periodic, Refusals
from .writes import this_version

NAME = "certificatesigningrequest-cleaner"
PERIOD_S = 3600.0
DECIDED_S = 3600.0  # approved, denied or failed
PENDING_S = 24 * 3600.0


def parts(context: Context) -> list[Part]:
    informer = context.caches.certificate_signing_requests
    return [Periodic(context, NAME, RequestCleaner(context), [informer])]


class RequestCleaner:
    """A Sweep."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pace = context.pace
        self._requests = context.caches.certificate_signing_requests.cache

    async def sweep(self) -> float:
        refusals = Refusals(NAME)
        for request in self._requests:
            if self._is_old(request) or self._has_expired(request):
                await self._delete(request, refusals)
            await self._pace.breathe()
        return PERIOD_S

    def _is_old(self, request: CertificateSigningRequest) -> bool:
        """Since it was decided, or since it was made when nobody has decided."""
        created = request.metadata.creation_timestamp or self._clock.now_text()
        decided = [each.last_update_time or created for each in request.status.conditions]
        if decided:
            return all(self._clock.age_s(moment) >= DECIDED_S for moment in decided)
        return self._clock.age_s(created) >= PENDING_S

    def _has_expired(self, request: CertificateSigningRequest) -> bool:
        """Its certificate is of no use any more."""
        pem = request.status.certificate
        if not pem or not any(each.type == "Approved" for each in request.status.conditions):
            return False
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(base64.b64decode(pem))
        except (binascii.Error, ValueError):
            return False  # not ours to judge: its age will tell
        return self._clock.wall() >= certificate.not_valid_after_utc.timestamp()

    async def _delete(self, request: CertificateSigningRequest, refusals: Refusals) -> None:
        try:
            await self._client.delete(CertificateSigningRequest, request.metadata.name, options=this_version(request))
        except Fenced:
            raise
        except (Conflict, NotFound):
            return  # somebody decides just now, or was faster
        except ApiError as error:
            refusals.bear(error, request.metadata.name)
