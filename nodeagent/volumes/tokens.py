"""Tokens of service accounts, bound to one pod: asked for once, and again when four fifths of their life are over.

They are kept in memory alone. While the API is away the last one serves as long as it is valid.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from apiserver.api.authentication import BoundObjectReference, TokenRequest, TokenRequestSpec
from apiserver.api.core.pod import Pod
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.core.volumes import ServiceAccountTokenProjection
from apiserver.api.errors import ApiError
from apiserver.api.kinds import kind_of
from apiserver.client import Client, requests
from apiserver.client.responses import decode_object

log = logging.getLogger(__name__)

LIFETIME_S = 3600
RENEWED_AFTER = 0.8
RENEWED_AFTER_MAX_S = 24 * 3600.0
REQUESTS_MAX = 4  # at once


class _Wish(NamedTuple):
    uid: str
    audience: str
    lifetime_s: int


class _Token(NamedTuple):
    """Moments are the loop's."""

    text: str
    renew_at: float
    ends_at: float

    def __repr__(self) -> str:
        return f"_Token(ends_at={self.ends_at})"


class Tokens:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[_Wish, _Token] = {}
        self._slots = asyncio.Semaphore(REQUESTS_MAX)

    async def token(self, pod: Pod, source: ServiceAccountTokenProjection) -> str:
        """Raises ApiError."""
        lifetime_s = LIFETIME_S if source.expiration_seconds is None else source.expiration_seconds
        wish = _Wish(pod.metadata.uid, source.audience, lifetime_s)
        now = asyncio.get_running_loop().time()
        known = self._tokens.get(wish)
        if known is not None and now < known.renew_at:
            return known.text
        try:
            async with self._slots:
                made = self._tokens[wish] = await self._ask(pod, wish, now)
        except ApiError as error:
            if known is None or now >= known.ends_at:
                raise
            log.warning("a token was not renewed", extra={"uid": wish.uid, "error": error.message})
            return known.text
        return made.text

    def forget(self, uid: str) -> None:
        for wish in [each for each in self._tokens if each.uid == uid]:
            del self._tokens[wish]

    async def _ask(self, pod: Pod, wish: _Wish, now: float) -> _Token:
        meta = pod.metadata
        reference = BoundObjectReference(api_version="v1", kind="Pod", name=meta.name, uid=meta.uid)
        spec = TokenRequestSpec(
            audiences=[wish.audience] if wish.audience else [],
            expiration_seconds=wish.lifetime_s,
            bound_object_ref=reference,
        )
        account = pod.spec.service_account_name or "default"
        path = requests.path_of(kind_of(ServiceAccount), meta.namespace, account, "token")
        wanted = TokenRequest(api_version="authentication.k8s.io/v1", kind="TokenRequest", spec=spec)
        answer = decode_object((await self._client.send(requests.create(path, wanted))).body, TokenRequest)
        life_s = float(answer.spec.expiration_seconds or wish.lifetime_s)
        renew_at = now + min(life_s * RENEWED_AFTER, RENEWED_AFTER_MAX_S)
        return _Token(answer.status.token, renew_at, now + life_s)
