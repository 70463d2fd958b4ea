"""When certificates are renewed: at two thirds of their life, while everything runs.

`Rotation` watches the files of the leaves this process uses and calls `renew` of each that is due. How it is renewed
is its owner's business: sign it anew and load it into the live `ssl.SSLContext` (new handshakes use it, open
connections stay), or ask the API for one.

A certificate lives by the wall clock, so that is what is read, but nobody sleeps by it: sleeps are monotonic and at
most LOOK_EVERY_S long, so a clock that jumps is noticed at the next look. What must hold: a clock that is behind the
certificate in use never replaces it, for others would refuse what it signs; nothing that fails here ends anything:
it is said in plain words and tried again.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from .pki import renewal_time

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3600.0
RETRY_S = 60.0
SHORTEST_SLEEP_S = 1.0


class Leaf(NamedTuple):
    """`renew` replaces the certificate in `path` and puts it to use; it may raise. `authority`: who signs it."""

    path: Path
    authority: Path
    renew: Callable[[], Awaitable[None]]


class Rotation:
    """Owns no file. `run` until cancelled."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        *,
        wall: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leaves = list(leaves)
        self._wall = wall
        self._sleep = sleep

    async def run(self) -> None:
        while True:
            await self._sleep(await self.look())

    async def look(self) -> float:
        """Renew what is due. Seconds until the next look."""
        waits = [await self._look_at(leaf) for leaf in self._leaves]
        return min([LOOK_EVERY_S, *waits])

    async def _look_at(self, leaf: Leaf) -> float:
        try:
            certificate = await asyncio.to_thread(_read, leaf.path)
            authority = await asyncio.to_thread(_read, leaf.authority)
        except (OSError, ValueError) as error:
            log.error("a certificate cannot be read", extra={"path": str(leaf.path), "error": str(error)})
            return RETRY_S
        now = self._wall()
        if now < certificate.not_valid_before_utc:
            log.warning(
                "this machine's clock is behind the certificate in use: not renewed; set the clock right",
                extra={"path": str(leaf.path), "clock": now.isoformat(), "valid_from": _begins(certificate)},
            )
            return RETRY_S
        if certificate.not_valid_after_utc >= authority.not_valid_after_utc:
            return LOOK_EVERY_S  # it ends with its authority: a new one would end no later
        left_s = (renewal_time(certificate) - now).total_seconds()
        if left_s > 0:
            return max(SHORTEST_SLEEP_S, left_s)
        return await self._renew(leaf, certificate)

    async def _renew(self, leaf: Leaf, former: x509.Certificate) -> float:
        ends = former.not_valid_after_utc.isoformat()
        try:
            await leaf.renew()
            renewed = await asyncio.to_thread(_read, leaf.path)
        except Exception as error:
            # Whatever it is, the present certificate is still in use and the next try may do better.
            log.error(
                "a certificate was not renewed",
                extra={"path": str(leaf.path), "valid_until": ends, "error": str(error)},
            )
            return RETRY_S
        if renewed.serial_number == former.serial_number:
            log.error("a certificate was not renewed", extra={"path": str(leaf.path), "valid_until": ends})
            return RETRY_S
        log.info(
            "certificate renewed",
            extra={"path": str(leaf.path), "valid_until": renewed.not_valid_after_utc.isoformat(), "before": ends},
        )
        left_s = (renewal_time(renewed) - self._wall()).total_seconds()
        return max(SHORTEST_SLEEP_S, left_s)


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _begins(certificate: x509.Certificate) -> str:
    return certificate.not_valid_before_utc.isoformat()
