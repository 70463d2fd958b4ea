"""`kminictl doctor`: what a client can see that is wrong with a cluster, and what to do about it.

The server's health checks, nodes, pods that wait or crash, certificates of the kubeconfig, the clock, and (with the
administrator's certificate) the group of replicas. Every finding that is not good says what to do. Exit code 1: bad.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from ..command import Verb, verb
from ..failures import CommandError, Silent

if TYPE_CHECKING:
    from ..cluster.session import Session

Level = Literal["ok", "warning", "bad"]
ORDER: dict[Level, int] = {"bad": 0, "warning": 1, "ok": 2}
CERTIFICATE_DAYS_WARNING = 30
CLOCK_S_WARNING = 5.0
LAG_ENTRIES_WARNING = 1_000
SHOWN_MAX = 5


class Finding(msgspec.Struct, frozen=True):
    check: str
    level: Level
    says: str
    do: str = ""


@click.command("doctor", cls=Verb)
@click.option("--endpoints", default="", help="etcd faces of replicas: HOST:PORT,...")
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text")
@verb
async def doctor(session: Session, endpoints: str, output: str) -> None:
    """Look for what is wrong with a cluster, and say what to do."""
    found = [finding for check in CHECKS async for finding in _tried(session, check)]
    found += [finding async for finding in check_replicas(session, endpoints)]
    found.sort(key=lambda finding: ORDER[finding.level])
    if output == "json":
        from ..output import gojson

        session.say(gojson.indented(msgspec.to_builtins(found), 2))
    else:
        sys.stdout.write(as_text(found))
    if any(finding.level == "bad" for finding in found):
        raise Silent


def as_text(found: list[Finding]) -> str:
    colours = {"ok": "32", "warning": "33", "bad": "31"} if sys.stdout.isatty() else {}
    lines = []
    for finding in found:
        mark = f"{finding.level:<7}"
        if colours:
            mark = f"\x1b[{colours[finding.level]}m{mark}\x1b[0m"
        lines.append(f"{mark}  {finding.check}: {finding.says}")
        if finding.do:
            lines.append(f"         {finding.do}")
    return "".join(f"{line}\n" for line in lines)


Check = Callable[["Session"], AsyncIterator[Finding]]


async def _tried(session: Session, check: Check) -> AsyncIterator[Finding]:
    """A check that may not look says so, and the others go on."""
    from apiserver.api.errors import ApiError

    name = check.__name__.removeprefix("check_")
    try:
        async for finding in check(session):
            yield finding
    except ApiError as error:
        do = "ask with rights to see it" if error.status_code in (401, 403) else "see whether the server runs"
        yield Finding(name, "warning" if error.status_code in (401, 403) else "bad", error.message, do)


async def check_server(session: Session) -> AsyncIterator[Finding]:
    from apiserver.api.errors import ApiError
    from apiserver.client import requests

    try:
        await session.api.send(requests.get("/readyz"))
    except ApiError as error:
        told = " ".join(error.message.split())[:300]
        yield Finding("server", "bad", f"{session.server} is not ready: {told}", "kminictl get --raw '/readyz?verbose'")
        return
    version = (await session.api.json(requests.get("/version"))).get("gitVersion", "")
    yield Finding("server", "ok", f"{session.server} is ready, {version}")


async def check_clock(session: Session) -> AsyncIterator[Finding]:
    """Certificates and tokens are good for a time: both sides must agree on it."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    from apiserver.client import requests

    before = datetime.now(UTC)
    answer = await session.api.send(requests.get("/version"))
    told = answer.headers.get("date", "")
    if not told:
        return
    apart_s = abs((parsedate_to_datetime(told) - before).total_seconds())
    if apart_s > CLOCK_S_WARNING:
        yield Finding("clock", "warning", f"the server's clock is {apart_s:.0f} s from this one", "run NTP on both")
    else:
        yield Finding("clock", "ok", "the server's clock and this one agree")


async def check_certificate(session: Session) -> AsyncIterator[Finding]:
    from datetime import UTC, datetime

    if not session.access.certificate:
        return
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(session.access.certificate.read())
    except (OSError, ValueError) as error:
        yield Finding("certificate", "bad", f"the kubeconfig's certificate cannot be read: {error}", "get a new one")
        return
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    level: Level = "bad" if days < 0 else "warning" if days < CERTIFICATE_DAYS_WARNING else "ok"
    do = "" if level == "ok" else "take a new kubeconfig from the server's data directory"
    yield Finding("certificate", level, f"the kubeconfig's certificate is good for {days} days", do)


async def check_nodes(session: Session) -> AsyncIterator[Finding]:
    nodes = await session.api.list_((await session.catalogue()).find("nodes").kind, None)
    if not nodes:
        yield Finding("nodes", "warning", "there are none", "kmini token create --role agent, then kmini agent there")
        return
    ready = [each for each in nodes if _condition(each, "Ready") == "True"]
    for node in nodes:
        name = node["metadata"]["name"]
        if node not in ready:
            yield Finding("nodes", "bad", f"{name} is not ready", f"kminictl describe node {name}; see its agent's log")
        for pressure in ("MemoryPressure", "DiskPressure", "PIDPressure"):
            if _condition(node, pressure) == "True":
                yield Finding("nodes", "warning", f"{name} has {pressure}", f"kminictl describe node {name}")
        if (node.get("spec") or {}).get("unschedulable"):
            yield Finding(
                "nodes", "warning", f"{name} takes no pods", f"kminictl uncordon {name}, when it should again"
            )
    yield Finding("nodes", "ok", f"{len(ready)} of {len(nodes)} are ready")


async def check_pods(session: Session) -> AsyncIterator[Finding]:
    pods = await session.api.list_((await session.catalogue()).find("pods").kind, None)
    waiting, failing = [], []
    for pod in pods:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if not (pod.get("spec") or {}).get("nodeName"):
            waiting.append(name)
        reason = waiting_reason(pod)
        if reason:
            failing.append(f"{name} ({reason})")
    if waiting:
        first = waiting[0].partition("/")
        do = f"kminictl why {first[2]} -n {first[0]}"
        yield Finding("pods", "warning", f"{len(waiting)} on no node: {_some(waiting)}", do)
    if failing:
        first = failing[0].partition(" ")[0].partition("/")
        do = f"kminictl describe pod {first[2]} -n {first[0]}; kminictl logs -p {first[2]} -n {first[0]}"
        yield Finding("pods", "warning", f"{len(failing)} cannot run: {_some(failing)}", do)
    if not waiting and not failing:
        yield Finding("pods", "ok", f"{len(pods)} are where they belong")


def waiting_reason(pod: dict[str, Any]) -> str:
    """Why a container of it waits, when that will not pass by itself."""
    status = pod.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        reason = str(((each.get("state") or {}).get("waiting") or {}).get("reason", ""))
        if reason not in ("", "ContainerCreating", "PodInitializing"):
            return reason
    return ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more


def _condition(obj: dict[str, Any], name: str) -> str:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((str(each.get("status", "")) for each in conditions if each.get("type") == name), "")


async def check_replicas(session: Session, endpoints: str) -> AsyncIterator[Finding]:
    """Left out, with a word, for who may not look at them."""
    from .raft import members_of

    try:
        found = await members_of(session, endpoints)
    except CommandError as error:
        yield Finding("replicas", "warning", str(error), "ask as the administrator, or name them with --endpoints")
        return
    voters = [each for each in found if not each.learner]
    there = [each for each in voters if each.version]
    needed = len(voters) // 2 + 1
    says = f"{len(there)} of {len(voters)} voters answer, {needed} are needed"
    level: Level = "bad" if len(there) < needed else "warning" if len(there) < len(voters) else "ok"
    do = {
        "bad": "start the others; if they are lost for good, kmini recover",
        "warning": "start the missing one, or remove it",
    }
    yield Finding("replicas", level, says, do.get(level, ""))
    if not any(each.leader for each in found):
        yield Finding("replicas", "bad", "no leader is known", "see whether replicas reach each other's peer ports")
    newest = max((each.applied for each in found), default=0)
    for each in found:
        if each.problem:
            yield Finding("replicas", "warning", f"{each.name}: {each.problem}", "kmini doctor on its host")
        elif newest - each.applied > LAG_ENTRIES_WARNING:
            yield Finding(
                "replicas", "warning", f"{each.name} is {newest - each.applied} entries behind", "kmini doctor there"
            )


CHECKS: tuple[Check, ...] = (check_server, check_clock, check_certificate, check_nodes, check_pods)
