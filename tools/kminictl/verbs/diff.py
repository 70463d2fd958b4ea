"""`kminictl diff`: what `apply` would change, as `diff -u` shows it. Exit code 1: there are differences."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError, Silent
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Target
    from ..cluster.session import Session
    from .applying import Patcher

PROGRAM = "KUBECTL_EXTERNAL_DIFF"
TRIES_MAX = 4
TROUBLE = 2  # 1 says that there are differences
MASK = "***"


@click.command("diff", cls=Verb)
@take.files
@take.selector
@switch("--server-side", hidden=True)
@switch("--show-managed-fields", hidden=True)
@click.option("--field-manager", default="kubectl-client-side-apply", hidden=True)
@verb
async def diff(session: Session, filenames: tuple[str, ...], labels: str, **given: Any) -> None:
    """Show what apply would change."""
    from ..cluster import manifests, selecting
    from .applying import Patcher, is_selected

    if not filenames:
        raise CommandError("must specify one of -f and -k", TROUBLE)
    catalogue, patcher = await session.catalogue(), Patcher(session)
    read = manifests.read(take.split_files(filenames), recursive=given["recursive"])
    with tempfile.TemporaryDirectory(prefix="kminictl-") as folder:
        live, merged = Path(folder) / f"LIVE-{os.getpid()}", Path(folder) / f"MERGED-{os.getpid()}"
        live.mkdir()
        merged.mkdir()
        for manifest in read:
            if labels and not is_selected(manifest.metadata.get("labels") or {}, labels):
                continue
            target = selecting.file_target(session, catalogue, manifest)
            now, then = await _versions(session, patcher, target)
            write_versions(live, merged, target, now, then)
        code = _run(live, merged)
    if code:
        raise Silent(code)


async def _versions(session: Session, patcher: Patcher, target: Target) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """As it is, and as the server would make it: asked of the server itself, which changes nothing."""
    from apiserver.api.errors import Conflict, NotFound
    from apiserver.client.requests import WriteOptions

    from .applying import with_namespace

    kind, options = target.resource.kind, WriteOptions(dry_run=True, field_manager="kubectl-client-side-apply")
    local = with_namespace(target)
    for attempt in range(TRIES_MAX):
        try:
            now = await session.api.get(kind, target.name, target.namespace)
        except NotFound:
            return None, await session.api.create(kind, target.namespace, local, options)
        patch, how = await patcher.patch(kind, now, _keeping_annotation(local, now))
        if not patch:
            return now, now
        try:
            return now, await session.api.patch(kind, target.namespace, target.name, patch, how, options)
        except Conflict:
            if attempt == TRIES_MAX - 1:
                raise
    raise AssertionError("the last round returns or raises")


def _keeping_annotation(local: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What was applied last is bookkeeping, no difference."""
    from ..merging import last_applied

    kept = (now["metadata"].get("annotations") or {}).get(last_applied.ANNOTATION)
    metadata = dict(local.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    if kept is not None:
        annotations[last_applied.ANNOTATION] = kept
    return {**local, "metadata": metadata | ({"annotations": annotations} if annotations else {})}


def write_versions(live: Path, merged: Path, target: Target, now: dict[str, Any] | None, then: dict[str, Any]) -> None:
    from ..output import goyaml, printers

    if target.resource.kind.kind == "Secret":
        now, then = masked(now, then)
    kind = target.resource.kind
    group = f"{kind.group}." if kind.group else ""
    name = f"{group}{kind.version}.{kind.kind}.{target.namespace or ''}.{target.name}"
    for folder, obj in ((live, now), (merged, then)):
        if obj is not None:
            text = goyaml.dump(printers.without_managed_fields(obj))
            (folder / name).write_text(text, encoding="utf-8")


def masked(now: dict[str, Any] | None, then: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Secrets with nothing of what is in them, but for whether it differs."""
    old, new = dict((now or {}).get("data") or {}), dict(then.get("data") or {})
    for key in {*old, *new}:
        same = old.get(key) == new.get(key)
        if key in old:
            old[key] = MASK if same or key not in new else f"{MASK} (before)"
        if key in new:
            new[key] = MASK if same or key not in (now or {}).get("data", {}) else f"{MASK} (after)"
    shown = None if now is None else ({**now, "data": old} if old else now)
    return shown, ({**then, "data": new} if new else then)


def _run(live: Path, merged: Path) -> int:
    """The program's exit code: 0 is no difference, 1 differences."""
    words = shlex.split(os.environ.get(PROGRAM, "")) or ["diff", "-u", "-N"]
    sys.stdout.flush()
    try:
        code = subprocess.run([*words, str(live), str(merged)], check=False).returncode
    except OSError as error:
        raise CommandError(f"{words[0]} cannot be run: {error.strerror}", TROUBLE) from None
    if code > 1:
        raise CommandError(f"exit status {code}", code)
    return code
