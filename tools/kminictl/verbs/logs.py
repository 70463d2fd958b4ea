"""`kminictl logs`: what containers said, and what they say."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..cluster.transport import LeanTransport
from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from apiserver.client.requests import Request

    from ..cluster.session import Session

BEGIN_S = 60.0


@click.command("logs", cls=Verb)
@click.argument("words", nargs=-1)
@take.selector
@switch("-f", "--follow", help="Go on with what is said.")
@switch("-p", "--previous", help="Of the container before the last restart.")
@switch("--timestamps", help="With the time of each line.")
@switch("--prefix", help="With the pod and container before each line.")
@switch("--all-containers", help="Of all containers of the pod.")
@switch("--all-pods", help="Of all pods of the workload.")
@switch("--ignore-errors", help="Go on when one cannot be read.")
@switch("--insecure-skip-tls-verify-backend", hidden=True)
@click.option("-c", "--container", default="", help="Container of the pod.")
@click.option("--tail", default=None, type=int, help="Only so many of the last lines.")
@click.option("--since", default="", help="Only of so long: 5s, 2m, 3h.")
@click.option("--since-time", default="", help="Only after a time: 2026-01-02T15:04:05Z.")
@click.option("--limit-bytes", default=0, help="Only so many bytes.")
@click.option("--max-log-requests", default=5, help="How many may be followed at once.")
@click.option("--pod-running-timeout", default="20s", hidden=True)
@verb
async def logs(session: Session, words: tuple[str, ...], labels: str, **given: Any) -> None:
    """Print the logs of a container: logs POD [CONTAINER], logs TYPE/NAME, logs -l SELECTOR."""
    if len(words) > 2 or bool(words) == bool(labels):
        raise CommandError(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
            "POD or TYPE/NAME is a required argument for the logs command\n"
            "See 'kminictl logs -h' for help and examples"
        )
    if len(words) == 2:
        if given["container"]:
            raise CommandError("only one of -c or an inline [CONTAINER] arg is allowed")
        given["container"] = words[1]
    if labels and given["tail"] is None:
        given["tail"] = 10
    sources = await _sources(session, words, labels, given)
    if given["follow"] and len(sources) > given["max_log_requests"]:
        raise CommandError(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is "
            f"{given['max_log_requests']}, use --max-log-requests to increase the limit"
        )
    if given["follow"]:
        async with asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(_print(session, source, given))
        return
    for source in sources:
        await _print(session, source, given)


async def whole_log(session: Session, pod: str, namespace: str, container: str) -> None:
    """All that a container has said until now."""
    plain: dict[str, Any] = dict.fromkeys(("follow", "previous", "timestamps", "prefix"), False)
    plain |= {"tail": None, "since": "", "since_time": "", "limit_bytes": 0}
    await _stream(session, _Source(pod=pod, namespace=namespace, container=container), plain)


class _Source(msgspec.Struct, kw_only=True):
    pod: str
    namespace: str
    container: str


async def _sources(session: Session, words: tuple[str, ...], labels: str, given: dict[str, Any]) -> list[_Source]:
    from apiserver.api.errors import NotFound

    from ..cluster.pods import container_names, container_of, likeliest, pods_of

    if labels:
        kind = (await session.catalogue()).find("pods").kind
        pods = await session.api.list_(kind, session.namespace, labels=labels)
        if not pods:
            session.tell(f"No resources found in {session.namespace} namespace.")
    else:
        try:
            pods = await pods_of(session, words[0], verb="logs")
        except NotFound as error:
            told = f'error from server (NotFound): {error.message} in namespace "{session.namespace}"'
            raise CommandError(told) from None
        if len(pods) > 1 and not given["all_pods"]:
            one = likeliest(pods)
            session.tell(f"Found {len(pods)} pods, using pod/{one['metadata']['name']}")
            pods = [one]
    found = []
    for pod in pods:
        if given["all_containers"]:
            first = [each["name"] for each in pod["spec"].get("initContainers") or []]
            names = first + [name for name in container_names(pod) if name not in first]
        else:
            names = [container_of(session, pod, given["container"])]
        metadata = pod["metadata"]
        found += [_Source(pod=metadata["name"], namespace=metadata["namespace"], container=name) for name in names]
    return found


def _request(source: _Source, given: dict[str, Any]) -> Request:
    from apiserver.api.kinds import Kind
    from apiserver.client.requests import Request, path_of

    from ..output.ages import duration_s

    query: list[tuple[str, str]] = [("container", source.container)]
    query += [(name, "true") for name in ("follow", "previous", "timestamps") if given[name]]
    if given["tail"] is not None and given["tail"] >= 0:
        query.append(("tailLines", str(given["tail"])))
    if given["since"] and given["since_time"]:
        raise CommandError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if given["since"]:
        query.append(("sinceSeconds", str(max(1, round(duration_s(given["since"]))))))
    if given["since_time"]:
        query.append(("sinceTime", given["since_time"]))
    if given["limit_bytes"]:
        query.append(("limitBytes", str(given["limit_bytes"])))
    path = path_of(Kind("Pod", "", "v1", "pods"), source.namespace, source.pod, "log")
    return Request(method="GET", path=path, query=tuple(query), headers=(("Accept", "*/*"),))


async def _print(session: Session, source: _Source, given: dict[str, Any]) -> None:
    from apiserver.api.errors import ApiError

    try:
        await _stream(session, source, given)
    except ApiError as error:
        if not given["ignore_errors"]:
            raise
        session.tell(f"error: {error.message}")


async def _stream(session: Session, source: _Source, given: dict[str, Any]) -> None:
    """As the bytes come; with --prefix line by line."""
    from apiserver.client.responses import Response, error_of
    from apiserver.client.transport import TransportError

    transport = session.api.client.caller.transport
    assert isinstance(transport, LeanTransport)
    server = session.api.client.caller.servers.pick()
    limit_s = session.timeout_s or BEGIN_S
    try:
        async with transport.answered(server, _request(source, given), timeout_s=limit_s) as answer:
            if answer.status >= 400:
                raise error_of(Response(answer.status, answer.headers, await answer.read()))
            printer = _Prefixed(source) if given["prefix"] else _Plain()
            async for chunk in answer.chunks():
                printer.write(chunk)
            printer.end()
    except TransportError as error:
        raise CommandError(str(error)) from None


class _Plain:
    def write(self, chunk: bytes) -> None:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        return


class _Prefixed(_Plain):
    def __init__(self, source: _Source) -> None:
        self._prefix = f"[pod/{source.pod}/{source.container}] ".encode()
        self._held = b""

    def write(self, chunk: bytes) -> None:
        *lines, self._held = (self._held + chunk).split(b"\n")
        for line in lines:
            super().write(self._prefix + line + b"\n")

    def end(self) -> None:
        if self._held:
            super().write(self._prefix + self._held)
