"""Until the sample answers: its pods are ready, and each of them was heard over the Service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from apiserver.client import Change, Client, Informer

from ..errors import NotReady
from . import sample
from .sample import Sample
from .waiting import changed

WITHIN_S = 120.0
ASK_EVERY_S = 0.05
TELL_EVERY_S = 5.0
WARNING_CHARACTERS_MAX = 300

Tell = Callable[[str], None]


async def until_it_answers(
    client: Client, wanted: Sample, tell: Tell, *, simulated: bool, log: Path, within_s: float = WITHIN_S
) -> None:
    """`log`: where more is said when it does not. Raises NotReady, ApiError."""
    async with Informer(client, Pod, namespace=sample.NAMESPACE, labels=sample.LABELS) as pods:
        waiting = _Waiting(client, pods, wanted, tell, log)
        await waiting.until_ready(within_s)
        if wanted.changed:
            tell("hello was changed: it is left as it is, and not asked")
        elif simulated:
            tell(f"{len(waiting.ready)} of {wanted.replicas} pods are ready, but simulated: nothing answers")
        elif wanted.replicas:
            await waiting.until_heard(within_s)


class _Waiting:
    def __init__(self, client: Client, pods: Informer[Pod], wanted: Sample, tell: Tell, log: Path) -> None:
        self._client = client
        self._pods = pods
        self._wanted = wanted
        self._tell = tell
        self._log = log
        pods.add_handler(self._tell_of_pod)

    @property
    def ready(self) -> set[str]:
        return sample.ready_names(self._pods.cache)

    async def until_ready(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        told = ""
        while True:
            left_s = deadline - time.monotonic()
            try:
                await changed(self._pods, lambda: len(self.ready) >= self._wanted.replicas, min(left_s, TELL_EVERY_S))
                return
            except TimeoutError:
                why = await self._why()
                if left_s <= TELL_EVERY_S:
                    raise NotReady(f"the sample is not ready: {why}: see {self._log}") from None
                if why != told:
                    self._tell(f"waiting: {why}")
                    told = why

    async def until_heard(self, within_s: float) -> None:
        """Each of those that are ready."""
        heard: set[str] = set()
        problem = ""
        deadline = time.monotonic() + within_s
        while len(self.ready) < self._wanted.replicas or not self.ready <= heard:
            if time.monotonic() > deadline:
                silent = ", ".join(sorted(self.ready - heard)) or "its pods"
                why = problem or await self._why()
                raise NotReady(
                    f"{self._wanted.url} (Service hello) does not answer for {silent}: {why}: see {self._log}"
                )
            try:
                heard.add(await sample.ask(self._wanted.address))
            except TimeoutError:
                problem = f"no answer within {sample.ASK_WITHIN_S:g} s"
            except OSError as error:
                problem = error.strerror or str(error)
                await asyncio.sleep(ASK_EVERY_S)
        self._tell(f"{self._wanted.url} answers: {', '.join(sorted(self.ready))}")

    def _tell_of_pod(self, change: Change[Pod]) -> None:
        """Of what is ready already it is not known whether that is still so."""
        pod = change.object
        if change.old is not None and sample.ready_names([pod]) and not sample.ready_names([change.old]):
            self._tell(f"pod {pod.metadata.name} is ready: {pod.status.pod_ip}")

    async def _why(self) -> str:
        """What stands in the way, with the newest warning about it."""
        late = [pod for pod in self._pods.cache if pod.metadata.name not in self.ready]
        words = [sample.what_stands_in_the_way(pod) for pod in late]
        names = {pod.metadata.name for pod in late}
        warnings = [
            each
            async for each in self._client.list(Event, namespace=sample.NAMESPACE, fields="type=Warning")
            if each.involved_object.name in names
        ]
        if warnings:
            newest = max(warnings, key=lambda each: each.last_timestamp or "")
            words.append(f"{newest.reason}: {newest.message[:WARNING_CHARACTERS_MAX]}")
        return "; ".join(words) or f"{len(self.ready)} pods are ready"
