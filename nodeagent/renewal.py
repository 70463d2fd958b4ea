"""Renews an agent's certificate at two thirds of its life, while it works, by a CertificateSigningRequest of its own.

Each renewal has a new key. The old certificate is used until the new one is there; clients read the file again. One
that is not there yet is asked for at once: the first of the node's own port comes in this way.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable
from random import Random

from apiserver.api.certificates import CertificateSigningRequest, CertificateSigningRequestSpec
from apiserver.api.errors import ApiError
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client
from apiserver.client.retry import Backoff

from .clock import Wall
from .errors import AgentError, JoinRefused, NoAnswer
from .identity import Identity

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0  # the wall clock may jump: the wait is never one long sleep
ANSWER_WITHIN_S = 300.0
ASK_EVERY_S = 1.0
_RETRY = Backoff(first_s=10.0, longest_s=600.0)


class Renewal:
    """`run` until it is cancelled. `changed` is called when there is a new certificate."""

    def __init__(
        self,
        client: Client,
        identity: Identity,
        *,
        wall: Wall = time.time,
        random: Random | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.renewed = 0
        self._changed = changed
        self._client = client
        self._identity = identity
        self._wall = wall
        self._random = random or Random()

    async def run(self) -> None:
        failures = 0
        while True:
            if not await self._is_due():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                await self.renew()
                failures = 0
            except (ApiError, AgentError) as error:
                fields = {"node": self._identity.node_name, "certificate": self._identity.purpose.stem}
                log.warning("the certificate was not renewed", extra=fields | {"error": str(error)})
                await asyncio.sleep(_RETRY.wait_s(failures, self._random))
                failures += 1

    async def _is_due(self) -> bool:
        try:
            validity = await self._identity.validity()
        except AgentError as error:
            log.error("the certificate cannot be read", extra={"error": str(error)})
            return False
        return validity is None or self._wall() >= validity.due_at

    async def renew(self) -> None:
        """Now. Raises ApiError, AgentError."""
        pem = await self._identity.new_request()
        purpose = self._identity.purpose
        spec = CertificateSigningRequestSpec(
            request=base64.b64encode(pem.encode()).decode(), signer_name=purpose.signer, usages=list(purpose.usages)
        )
        asked = await self._client.create(
            CertificateSigningRequest(metadata=ObjectMeta(generate_name="node-csr-"), spec=spec)
        )
        await self._identity.accept(await self._answer(asked))
        self.renewed += 1
        self._changed()
        fields = {"node": self._identity.node_name, "certificate": purpose.stem}
        log.info("there is a new certificate", extra=fields)

    async def _answer(self, asked: CertificateSigningRequest) -> bytes:
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
        while not asked.status.certificate:
            for condition in asked.status.conditions:
                if condition.type in ("Denied", "Failed"):
                    raise JoinRefused(f"the request {asked.metadata.name} is {condition.type}: {condition.message}")
            if asyncio.get_running_loop().time() >= deadline:
                raise NoAnswer(f"the request {asked.metadata.name} has no answer: somebody must approve it")
            await asyncio.sleep(ASK_EVERY_S)
            asked = await self._client.get(CertificateSigningRequest, asked.metadata.name)
        try:
            return base64.b64decode(asked.status.certificate, validate=True)
        except binascii.Error:
            raise JoinRefused(f"the answer to {asked.metadata.name} is no base64") from None
