"""Who leads: one of many candidates holds a Lease, renews it, and stops before another one may take it.

- Every interval is measured by this process's monotonic clock. A foreign lease is judged by how long WE have seen it
  unchanged, never by the times that stand in it: clocks of machines differ, and jump.
- The holder counts from before it asked: an answer that was long on its way buys no time. Without a renewal in
  `renew_s` its term is over, while the lease still has `duration_s - renew_s` to run.
- That is courtesy. What protects is the fence: each term has a number, every write of the term carries it, and the API
  refuses those of terms that are over (apiserver/effects/fencing.py), also of a process that slept through its end.
- A candidate of a server's own process has a `right` instead: Raft's leader leads. It takes the lease from whoever has
  it, at once, and need not renew it for long: an idle cluster writes next to nothing. Being deposed by Raft it hears of
  before anybody else can; if it does not, the fence holds here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from apiserver.api.coordination import Lease, LeaseSpec
from apiserver.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client, WriteOptions

from .clock import Clock
from .metrics import Metrics

log = logging.getLogger("controlplane.election")

NAMESPACE = "kube-system"
#: The pause after a term that ended by an error doubles up to this, in seconds: each term costs writes of the lease.
AGAIN_LONGEST_S = 60.0


class ElectionTiming(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds. Takeover from a dead holder takes at most `duration_s` + `retry_s` and two requests."""

    duration_s: float = 10.0
    renew_s: float = 8.0  # without a renewal for this long, stop
    every_s: float = 4.0  # renew this often: few writes, so that flash lives longer
    retry_s: float = 1.0  # look this often when it is somebody else's, or a request failed


#: Of those that lead by right: the lease is there for candidates without one, who must wait for it to run out.
BY_RIGHT = ElectionTiming(duration_s=3600.0, renew_s=3000.0, every_s=1200.0, retry_s=0.5)


class Election:
    """`run(lead)` campaigns for ever; `lead(transitions)` is awaited while we hold the lease, and then cancelled."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        identity: str,
        clock: Clock,
        metrics: Metrics,
        timing: ElectionTiming | None = None,
        right: Callable[[], bool] | None = None,
    ) -> None:
        """`identity` must be new for each process: one that comes back is another candidate. Each term has a name of
        its own under it, so that it has a number of its own too: what a former term of this very process still has on
        its way is refused like anybody else's."""
        self._client = client
        self._name = name
        self._process = identity
        self._identity = f"{identity}.1"
        self._term = 1
        self._clock = clock
        self._timing = timing or (ElectionTiming() if right is None else BY_RIGHT)
        self._right = right
        self._in_time = WriteOptions(timeout_s=min(4.0, self._timing.every_s))  # another server may take it then
        self._leading = metrics.gauge("leader_election_master_status", "1 while this process leads", ("name",)).labels(
            name
        )
        self._terms = metrics.counter("kmini_election_terms_total", "Terms that this process led", ("name",)).labels(
            name
        )
        self._lease: Lease | None = None  # as it was written or seen last
        self._seen_at = 0.0  # when a foreign one was seen to change
        self._renewed_at = 0.0  # when ours was asked to be renewed last, with success

    @property
    def leads(self) -> bool:
        return self._holds(self._lease)

    async def run(self, lead: Callable[[int], Awaitable[None]]) -> None:
        """Until it is cancelled; a lease that is held then is released. Errors of `lead` end its term only."""
        failures = 0  # of terms, one after the other
        while True:
            await self._campaign()
            lease = self._lease
            assert lease is not None
            self._leading.set(1)
            self._terms.inc()
            log.info("leading", extra={"lease": self._name, "transitions": lease.spec.lease_transitions})
            began = self._clock.monotonic()
            try:
                failed = await self._lead(lead, lease.spec.lease_transitions or 0)
            finally:
                self._leading.set(0)
                log.info("no longer leading", extra={"lease": self._name})
                await self._release()
            self._term += 1
            self._identity = f"{self._process}.{self._term}"
            failures = failures + 1 if failed and self._clock.monotonic() - began < AGAIN_LONGEST_S else 0
            await asyncio.sleep(min(AGAIN_LONGEST_S, self._timing.retry_s * 2.0 ** min(failures, 16)))

    async def _lead(self, lead: Callable[[int], Awaitable[None]], transitions: int) -> bool:
        """Until the lease is lost or `lead` ends. Returns once it has ended: whether by an error."""
        leading = asyncio.ensure_future(lead(transitions))
        renewing = asyncio.create_task(self._renew_on(), name="renew the lease")
        try:
            await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leading.cancel()
            renewing.cancel()
            results = await asyncio.gather(leading, renewing, return_exceptions=True)
        errors = [each for each in results if isinstance(each, Exception)]
        for error in errors:
            log.error("a term ended by an error", extra={"lease": self._name, "error": repr(error)})
        return bool(errors)

    # --- getting it -----------------------------------------------------------------------------------

    async def _campaign(self) -> None:
        """Return once the lease is ours."""
        while True:
            if self._right is None or self._right():
                try:
                    if await self._try():
                        return
                except ApiError as error:
                    log.debug("the lease was not had", extra={"lease": self._name, "error": str(error)})
            await asyncio.sleep(self._timing.retry_s)

    async def _try(self) -> bool:
        """Raises ApiError: then it is not known whose it is."""
        asked = self._clock.monotonic()
        try:
            found = await self._client.get(Lease, self._name, namespace=NAMESPACE)
        except NotFound:
            return await self._create(asked)
        if self._lease is None or found.metadata.resource_version != self._lease.metadata.resource_version:
            self._lease, self._seen_at = found, self._clock.monotonic()
        if not self._may_take(found):
            return False
        found.spec = self._spec(found)
        try:
            self._lease = await self._client.update(found)
        except Conflict:
            return False
        self._renewed_at = asked
        return True

    async def _create(self, asked: float) -> bool:
        lease = Lease(metadata=ObjectMeta(name=self._name, namespace=NAMESPACE))
        lease.spec = self._spec(lease)
        try:
            self._lease = await self._client.create(lease)
        except AlreadyExists:
            return False
        self._renewed_at = asked
        return True

    def _may_take(self, lease: Lease) -> bool:
        holder = lease.spec.holder_identity
        if self._right is not None or not holder or holder.startswith(f"{self._process}."):
            return True  # by right; or it is free; or it is ours: an answer was lost, or it could not be released
        duration = lease.spec.lease_duration_seconds or self._timing.duration_s
        return self._clock.monotonic() - self._seen_at > duration

    def _holds(self, lease: Lease | None) -> bool:
        return lease is not None and lease.spec.holder_identity == self._identity

    def _spec(self, lease: Lease) -> LeaseSpec:
        now = self._clock.now_micro_text()
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=max(1, round(self._timing.duration_s)),
            acquire_time=lease.spec.acquire_time if self._holds(lease) else now,
            renew_time=now,
            lease_transitions=lease.spec.lease_transitions,
        )

    # --- keeping it -----------------------------------------------------------------------------------

    async def _renew_on(self) -> None:
        """Return when the lease is lost, or may be soon."""
        timing = self._timing
        while self._right is None or self._right():
            left = self._left_s(timing.renew_s)
            due = self._left_s(timing.every_s)
            if left <= 0:
                log.warning("the lease was not renewed in time", extra={"lease": self._name})
                return
            if due > 0:
                await asyncio.sleep(min(due, timing.retry_s))
                continue
            try:
                async with asyncio.timeout(left):
                    if not await self._renew():
                        return
            except (ApiError, TimeoutError) as error:
                log.info("renewing the lease failed", extra={"lease": self._name, "error": str(error)})
                await asyncio.sleep(min(timing.retry_s, self._left_s(timing.renew_s)))

    def _left_s(self, since_renewal_s: float) -> float:
        return max(0.0, self._renewed_at + since_renewal_s - self._clock.monotonic())

    async def _renew(self) -> bool:
        """False: somebody else holds it. Raises ApiError."""
        assert self._lease is not None
        asked = self._clock.monotonic()
        transitions = self._lease.spec.lease_transitions
        try:
            self._lease = await self._client.update(self._renewal(self._lease), options=self._in_time)
        except Conflict:
            # an answer was lost, or the lease was taken
            self._lease = await self._client.get(Lease, self._name, namespace=NAMESPACE)
            if not self._holds(self._lease) or self._lease.spec.lease_transitions != transitions:
                return False
            self._lease = await self._client.update(self._renewal(self._lease), options=self._in_time)
        self._renewed_at = asked
        return True

    def _renewal(self, lease: Lease) -> Lease:
        return msgspec.structs.replace(lease, spec=self._spec(lease))

    async def _release(self) -> None:
        """So that nobody has to wait until it runs out. What cannot be released runs out."""
        lease = self._lease
        if lease is None or not self._holds(lease):
            return
        spec = msgspec.structs.replace(lease.spec, holder_identity="", renew_time=self._clock.now_micro_text())
        self._lease = None
        try:
            async with asyncio.timeout(self._timing.retry_s):
                await self._client.update(msgspec.structs.replace(lease, spec=spec))
        except (ApiError, TimeoutError) as error:
            log.info("the lease was not released", extra={"lease": self._name, "error": str(error)})
