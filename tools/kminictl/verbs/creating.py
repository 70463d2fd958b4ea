"""Sending what is new: the objects of files, and those that generators make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from apiserver.api.errors import ApiError
from apiserver.client.requests import WriteOptions

from ..cluster import selecting
from ..cluster.discovery import Catalogue
from ..cluster.manifests import Manifest
from ..command import loose, switch
from ..failures import CommandError, about
from ..merging import last_applied
from ..output import gojson
from . import options as take
from .applying import with_namespace
from .writing import Results, write_options

if TYPE_CHECKING:
    from ..cluster.session import Session

F = TypeVar("F", bound=Callable[..., Any])


async def send(
    session: Session,
    catalogue: Catalogue,
    manifest: Manifest,
    results: Results,
    options: WriteOptions,
    *,
    dry_run: take.DryRun,
    save_config: bool,
) -> None:
    """One object of a file. What cannot be created is among the results' errors."""
    try:
        target = selecting.file_target(session, catalogue, manifest)
        obj = with_namespace(target)
        if save_config:
            obj = last_applied.annotated(obj)
        if not dry_run.client:
            obj = await session.api.create(target.resource.kind, target.namespace, obj, options)
        results.done(obj, "created")
    except ApiError as error:
        results.errors.append(about(error, f"error when creating {gojson.quote(manifest.source)}"))
    except CommandError as error:
        results.errors.append(error)


def generator(function: F) -> F:
    """The options of every generator."""
    function = click.option("--field-manager", default="kubectl-create", hidden=True)(function)
    function = switch("--save-config", help="Keep the object in the annotation of apply.")(function)
    function = loose("--validate", bare="strict", default="strict", help="strict, warn or ignore.")(function)
    return take.output(take.dry_run(function))


async def generated(
    session: Session, what: str, obj: dict[str, Any], settings: dict[str, Any], *, skip: bool = False
) -> None:
    """Send what a generator made, and print it. `what` is the generator's word for it in errors; `skip`: the error is
    the server's alone."""
    dry_run = take.DryRun(settings["dry_run"])
    results = Results(settings["output"], dry_run)
    namespaced = obj["kind"] not in CLUSTER_KINDS
    if namespaced and (session.options.namespace or not dry_run.client):
        obj["metadata"].setdefault("namespace", session.namespace)
        if dry_run.client and not session.options.namespace:
            del obj["metadata"]["namespace"]
    if settings["save_config"]:
        obj = last_applied.annotated(obj)
    if not dry_run.client:
        options = write_options(dry_run, settings["field_manager"], settings["validate"])
        try:
            obj = await session.api.json(_request(obj, namespaced, session, options))
        except ApiError as error:
            raise error if skip else CommandError(f"failed to create {what}: {error.message}") from None
    results.done(obj, "created")
    results.end()


#: Kinds that generators make outside of namespaces.
CLUSTER_KINDS = frozenset({"ClusterRole", "ClusterRoleBinding", "Namespace", "PriorityClass"})
_PLURALS = {"Ingress": "ingresses", "PriorityClass": "priorityclasses"}


def _request(obj: dict[str, Any], namespaced: bool, session: Session, options: WriteOptions) -> Any:
    """Without asking what the server has: it says so when it has no such kind."""
    from apiserver.api.kinds import Kind
    from apiserver.client import requests

    group, slash, version = obj["apiVersion"].rpartition("/")
    kind = obj["kind"]
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    row = Kind(kind, group if slash else "", version, plural, namespaced)
    path = requests.path_of(row, obj["metadata"].get("namespace", session.namespace) if namespaced else None)
    return requests.create(path, obj, options)


def key_values(pairs: tuple[str, ...], what: str) -> dict[str, str]:
    """`a=b` each. Raises CommandError naming the one that is none."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CommandError(f"invalid {what} {pair}, expected key=value")
        found[key] = value
    return found


def labels_of(text: str) -> dict[str, str]:
    """`a=b,c=d`, as --labels takes them."""
    found: dict[str, str] = {}
    for pair in (each for each in text.split(",") if each):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"unexpected label spec: {pair}")
        found[key] = value
    return found
