"""`kminictl drain`: a node takes no new pods, and those it has are evicted, as far as budgets allow."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..command import Verb, switch, verb
from ..failures import CommandError, told
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session

RETRY_S = 5.0
POLL_S = 1.0
AT_ONCE = 32


@click.command("drain", cls=Verb)
@click.argument("names", nargs=-1)
@take.selector
@take.dry_run
@switch("--force", help="Also pods that no controller makes anew.")
@switch("--ignore-daemonsets", help="Leave pods of daemon sets where they are.")
@switch("--delete-emptydir-data", help="Also pods whose data on the node is lost with them.")
@switch("--disable-eviction", help="Delete, past disruption budgets.")
@click.option("--grace-period", default=-1, help="Seconds to end in; the pods' own when negative.")
@click.option("--timeout", default="0s", help="How long at most; 0 is as long as it takes.")
@click.option("--pod-selector", default="", help="Only pods with these labels.")
@click.option("--skip-wait-for-delete-timeout", default=0, hidden=True)
@click.option("--chunk-size", default=500, hidden=True)
@verb
async def drain(session: Session, names: tuple[str, ...], labels: str, **given: Any) -> None:
    """Cordon nodes and evict their pods."""
    from .nodes import nodes, set_schedulable
    from .writing import Results

    dry_run = take.DryRun(given["dry_run"])
    results = Results("", dry_run)
    found, results.errors = await nodes(session, names, labels, "drain")
    if results.errors:
        results.end()
    for each in found:
        await set_schedulable(session, each, results, dry_run, unschedulable=True)
    pending: list[str] = []
    problems: list[str] = []
    for each in found:
        try:
            await _Draining(session, each, dry_run, given).run()
        except CommandError as error:
            text = str(error)
            session.tell(f'error: unable to drain node "{each.name}" due to error: {text}, continuing command...')
            pending.append(each.name)
            problems.append(text)
            continue
        results.done(each.object, "drained")
    if pending:
        session.tell("There are pending nodes to be drained:\n" + "\n".join(f" {name}" for name in pending))
        raise CommandError("\n".join(problems), prefix=False)


class Judged(msgspec.Struct):
    """A pod, whether it goes, what is said about that, and whether that is in the way."""

    pod: dict[str, Any]
    goes: bool = True
    warning: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"


def judge(pod: dict[str, Any], *, force: bool, ignore_daemonsets: bool, delete_emptydir: bool) -> Judged:
    """kubectl's rules, in its order."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    controller = next((each for each in metadata.get("ownerReferences") or [] if each.get("controller")), None)
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if controller and controller["kind"] == "DaemonSet" and not finished:
        if ignore_daemonsets:
            return Judged(pod, goes=False, warning="ignoring DaemonSet-managed Pods")
        return Judged(pod, goes=False, error="DaemonSet-managed Pods (use --ignore-daemonsets to ignore)")
    if "kubernetes.io/config.mirror" in (metadata.get("annotations") or {}):
        return Judged(pod, goes=False)
    if finished:
        return Judged(pod)
    if any("emptyDir" in volume for volume in spec.get("volumes") or []) and not delete_emptydir:
        return Judged(pod, goes=False, error="Pods with local storage (use --delete-emptydir-data to override)")
    if controller is None and not force:
        return Judged(pod, goes=False, error="Pods that declare no controller (use --force to override)")
    return Judged(pod, warning="" if controller else "deleting Pods that declare no controller")


class _Draining:
    """One node. Pods are evicted side by side, AT_ONCE at a time."""

    def __init__(self, session: Session, node: Found, dry_run: take.DryRun, given: dict[str, Any]) -> None:
        from ..output.ages import duration_s

        self._session = session
        self._node = node
        self._dry_run = dry_run
        self._given = given
        self._limit_s = duration_s(given["timeout"])
        self._deadline = time.monotonic() + self._limit_s if self._limit_s > 0 else float("inf")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._verb = ("deleting", "deleted") if given["disable_eviction"] else ("evicting", "evicted")

    async def run(self) -> None:
        """Raises CommandError saying what is in the way."""
        judged = await self._judged()
        errors = _grouped(judged, "error")
        if errors:
            raise CommandError(
                "; ".join(f"cannot delete {reason}: {', '.join(pods)}" for reason, pods in errors.items()),
                prefix=False,
            )
        warnings = _grouped(judged, "warning")
        if warnings:
            self._session.warn("; ".join(f"{text}: {', '.join(pods)}" for text, pods in warnings.items()))
        problems: list[str] = []
        async with asyncio.TaskGroup() as group:
            for each in judged:
                if each.goes:
                    group.create_task(self._evict_one(each, problems))
        if problems:
            raise CommandError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]", prefix=False)

    async def _judged(self) -> list[Judged]:
        pod = (await self._session.catalogue()).find("pods").kind
        pods = await self._session.api.list_(
            pod, None, labels=self._given["pod_selector"], fields=f"spec.nodeName={self._node.name}"
        )
        return [
            judge(
                each,
                force=self._given["force"],
                ignore_daemonsets=self._given["ignore_daemonsets"],
                delete_emptydir=self._given["delete_emptydir_data"],
            )
            for each in pods
        ]

    async def _evict_one(self, judged: Judged, problems: list[str]) -> None:
        from apiserver.api.errors import ApiError

        async with self._places:
            suffix = self._dry_run.suffix
            self._say(f"{self._verb[0]} pod {judged}{suffix}")
            if self._dry_run.client:
                return
            try:
                if await self._ask(judged) and not self._dry_run.server:
                    await self._wait_gone(judged)
            except ApiError as error:
                problems.append(told(error))
            except CommandError as error:
                problems.append(str(error))

    async def _ask(self, judged: Judged) -> bool:
        """False when the pod is gone already. A budget that forbids it now is asked again."""
        from apiserver.api.errors import NotFound, TooManyRequests

        while True:
            try:
                await self._send(judged)
            except NotFound:
                return False
            except TooManyRequests as error:
                name, namespace = judged.pod["metadata"]["name"], judged.pod["metadata"]["namespace"]
                if time.monotonic() + RETRY_S >= self._deadline:
                    raise CommandError(
                        f'error when evicting pods/"{name}" -n "{namespace}": global timeout reached: '
                        f"{self._given['timeout']}",
                        prefix=False,
                    ) from None
                self._session.tell(
                    f'error when evicting pods/"{name}" -n "{namespace}" (will retry after {RETRY_S:g}s): '
                    f"{error.message}"
                )
                await asyncio.sleep(RETRY_S)
                self._say(f"{self._verb[0]} pod {judged}")
            else:
                return True

    async def _send(self, judged: Judged) -> None:
        from apiserver.client import requests

        pod = (await self._session.catalogue()).find("pods").kind
        metadata = judged.pod["metadata"]
        options: dict[str, Any] = {}
        if self._given["grace_period"] >= 0:
            options["gracePeriodSeconds"] = self._given["grace_period"]
        if self._dry_run.server:
            options["dryRun"] = ["All"]
        if self._given["disable_eviction"]:
            await self._session.api.delete(pod, metadata["namespace"], metadata["name"], options)
            return
        body: dict[str, Any] = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        }
        path = requests.path_of(pod, metadata["namespace"], metadata["name"], "eviction")
        await self._session.api.send(requests.create(path, body | ({"deleteOptions": options} if options else {})))

    async def _wait_gone(self, judged: Judged) -> None:
        from apiserver.api.errors import NotFound

        pod = (await self._session.catalogue()).find("pods").kind
        metadata = judged.pod["metadata"]
        while True:
            try:
                now = await self._session.api.get(pod, metadata["name"], metadata["namespace"])
            except NotFound:
                break
            if now["metadata"]["uid"] != metadata["uid"]:
                break
            if time.monotonic() >= self._deadline:
                raise CommandError(
                    f'error when waiting for pod "{metadata["name"]}" in namespace "{metadata["namespace"]}" to '
                    f"terminate: global timeout reached: {self._given['timeout']}",
                    prefix=False,
                )
            await asyncio.sleep(POLL_S)
        self._say(f"pod/{metadata['name']} {self._verb[1]}")

    def _say(self, text: str) -> None:
        self._session.say(text)
        self._session.flush()


def _grouped(judged: list[Judged], field: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in judged:
        text = getattr(each, field)
        if text:
            found.setdefault(text, []).append(str(each))
    return found
