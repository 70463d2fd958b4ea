"""What deleting asks of the server, and waiting until something is gone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from apiserver.api.errors import NotFound

from ..failures import CommandError

if TYPE_CHECKING:
    from ..cluster.discovery import Resource
    from ..cluster.session import Session

_POLICIES = {
    "background": "Background",
    "true": "Background",
    "orphan": "Orphan",
    "false": "Orphan",
    "foreground": "Foreground",
}


def delete_options(cascade: str, grace_period_s: int = -1, *, dry_run: bool = False) -> dict[str, Any]:
    """Raises CommandError for a --cascade that is none."""
    if cascade not in _POLICIES:
        raise CommandError(f'invalid cascade value ({cascade}). Must be "background", "foreground", or "orphan"')
    options: dict[str, Any] = {"propagationPolicy": _POLICIES[cascade]}
    if grace_period_s >= 0:
        options["gracePeriodSeconds"] = grace_period_s
    if dry_run:
        options["dryRun"] = ["All"]
    return options


async def wait_gone(
    session: Session, resource: Resource, namespace: str | None, name: str, gone: dict[str, Any], *, timeout_s: float
) -> None:
    """Until the object, or rather the very one that was deleted, is no more. `timeout_s` 0 waits for ever.

    Raises TimeoutError."""
    uid = _uid(gone)
    async with asyncio.timeout(timeout_s or None):
        while True:
            try:
                listed = await session.api.get(resource.kind, name, namespace)
            except NotFound:
                return
            if uid and listed["metadata"].get("uid") != uid:
                return
            if await _watched_gone(session, resource, namespace, name, listed):
                return


async def _watched_gone(
    session: Session, resource: Resource, namespace: str | None, name: str, listed: dict[str, Any]
) -> bool:
    events = session.api.watch(
        resource.kind,
        namespace,
        fields=f"metadata.name={name}",
        resource_version=listed["metadata"]["resourceVersion"],
    )
    async with aclosing(events):
        async for type_, _ in events:
            if type_ == "DELETED":
                return True
    return False


def _uid(answer: dict[str, Any]) -> str:
    """Of a deleted object, or of the Status that says it is deleted."""
    if answer.get("kind") == "Status":
        return str((answer.get("details") or {}).get("uid", ""))
    return str((answer.get("metadata") or {}).get("uid", ""))
