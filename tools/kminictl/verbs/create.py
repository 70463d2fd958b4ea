"""`kminictl create`: objects from files. The generators (`create deployment`, ...) hang below it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, loose, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session

#: Generator -> module and the command in it.
GENERATORS = {
    "clusterrole": ("kminictl.verbs.create_access", "cluster_role"),
    "clusterrolebinding": ("kminictl.verbs.create_access", "cluster_role_binding"),
    "configmap": ("kminictl.verbs.create_config", "config_map"),
    "cm": ("kminictl.verbs.create_config", "config_map"),
    "cronjob": ("kminictl.verbs.create_workloads", "cron_job"),
    "deployment": ("kminictl.verbs.create_workloads", "deployment"),
    "deploy": ("kminictl.verbs.create_workloads", "deployment"),
    "job": ("kminictl.verbs.create_workloads", "job"),
    "namespace": ("kminictl.verbs.create_config", "namespace"),
    "ns": ("kminictl.verbs.create_config", "namespace"),
    "priorityclass": ("kminictl.verbs.create_config", "priority_class"),
    "pc": ("kminictl.verbs.create_config", "priority_class"),
    "role": ("kminictl.verbs.create_access", "role"),
    "rolebinding": ("kminictl.verbs.create_access", "role_binding"),
    "secret": ("kminictl.verbs.create_secrets", "secret"),
    "service": ("kminictl.verbs.create_services", "service"),
    "svc": ("kminictl.verbs.create_services", "service"),
    "serviceaccount": ("kminictl.verbs.create_config", "service_account"),
    "sa": ("kminictl.verbs.create_config", "service_account"),
    "token": ("kminictl.verbs.create_access", "token"),
}


class _Create(Verbs):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in sorted(GENERATORS) if len(name) > 3 or name == "job"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from importlib import import_module

        row = GENERATORS.get(cmd_name)
        if row is None:
            return None
        found = getattr(import_module(row[0]), row[1])
        assert isinstance(found, click.Command)
        return found


@click.group("create", cls=_Create, invoke_without_command=True)
@take.files
@take.output
@take.selector
@take.dry_run
@loose("--validate", bare="strict", default="strict", help="strict, warn or ignore fields nobody knows.")
@switch("--save-config", help="Keep the file in the annotation of apply.")
@click.option("--field-manager", default="kubectl-create", hidden=True)
@click.option("--raw", default="", help="A path of the server to send the file to.")
def create(**given: Any) -> None:
    """Create objects from files or standard input."""
    if click.get_current_context().invoked_subcommand is None:
        _create(**given)


@verb
async def _create(session: Session, filenames: tuple[str, ...], raw: str, **given: Any) -> None:
    from ..cluster import manifests
    from .applying import is_selected
    from .creating import send
    from .writing import Results, write_options

    if not filenames:
        raise CommandError("must specify one of -f and -k")
    names = take.split_files(filenames)
    if raw:
        await _send_raw(session, raw, names)
        return
    dry_run = take.DryRun(given["dry_run"])
    results = Results(given["output"], dry_run)
    options = write_options(dry_run, given["field_manager"], given["validate"])
    catalogue = await session.catalogue()
    for manifest in manifests.read(names, recursive=given["recursive"]):
        if given["labels"] and not is_selected(manifest.metadata.get("labels") or {}, given["labels"]):
            continue
        await send(session, catalogue, manifest, results, options, dry_run=dry_run, save_config=given["save_config"])
    if not results.count and not results.errors:
        raise CommandError("no objects passed to create")
    results.end()


async def _send_raw(session: Session, path: str, names: tuple[str, ...]) -> None:
    from asyncio import to_thread
    from pathlib import Path

    from apiserver.client import requests

    from ..cluster.manifests import BYTES_MAX

    if len(names) != 1:
        raise CommandError("--raw can only use a single local file or stdin")
    body = sys.stdin.buffer.read(BYTES_MAX) if names[0] == "-" else await to_thread(Path(names[0]).read_bytes)
    answer = await session.api.send(requests.create(path, body))
    sys.stdout.write(answer.body.decode("utf-8", "replace"))
