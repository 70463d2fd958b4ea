"""`kminictl set`: image, env, resources, serviceaccount and selector of objects that are there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


@click.group("set", cls=Verbs)
def set_() -> None:
    """Change one thing of objects that are there."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--field-manager", default="kubectl-set", hidden=True),
        take.everything,
        take.selector,
        take.dry_run,
        take.output,
        take.files,
        click.argument("words", nargs=-1),
    ):
        function = option(function)
    return function


def pod_spec(obj: JsonObject) -> JsonObject:
    """Of a pod, or of what makes pods. Raises CommandError."""
    spec = obj.get("spec") or {}
    found = spec if obj["kind"] == "Pod" else (spec.get("template") or {}).get("spec")
    if not isinstance(found, dict):
        raise CommandError(f"{obj['kind'].lower()}/{obj['metadata']['name']} does not have a pod template")
    return found


async def _change(
    session: Session,
    words: tuple[str, ...],
    given: dict[str, Any],
    operation: str,
    change: Callable[[JsonObject], bool | None],
) -> None:
    """Change a copy of each object, and send what differs. `change` False: this one is left alone."""
    from apiserver.api.errors import ApiError

    from ..cluster.selecting import Selection, objects
    from .applying import Patcher
    from .writing import Results, write_options

    dry_run, patcher = take.DryRun(given["dry_run"]), Patcher(session)
    results = Results(given["output"], dry_run)
    selection = Selection(
        words=words,
        files=take.split_files(given["filenames"]),
        recursive=given["recursive"],
        labels=given["labels"],
        everything=given["everything"],
    )
    found, results.errors = await objects(session, selection, verb="set")
    for each in found:
        after = copy.deepcopy(each.object)
        kind = each.resource.kind
        try:
            if change(after) is False:
                continue
            patch, how = await patcher.two_way(kind, each.object, after)
            if patch and not dry_run.client:
                options = write_options(dry_run, given["field_manager"])
                after = await session.api.patch(kind, each.namespace, each.name, patch, how, options)
            if patch:
                results.done(after, operation)
        except ApiError as error:
            what = operation.partition(" ")[0].removesuffix("s")
            what = "resources" if what == "resource" else what
            told = f"failed to patch {what} update to pod template {error.message}"
            results.errors.append(CommandError(told))
        except CommandError as error:
            results.errors.append(error)
    results.end()


def _split(words: tuple[str, ...], *, removals: bool = False) -> tuple[tuple[str, ...], list[str]]:
    """Resources, and what is to be set: the words with an equals sign (or a dash at the end)."""
    resources: list[str] = []
    changes: list[str] = []
    for word in words:
        is_change = "=" in word or (removals and word.endswith("-"))
        (changes if is_change else resources).append(word)
    return tuple(resources), changes


@set_.command("image")
@_options
@verb
async def image(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set images: set image TYPE/NAME CONTAINER=IMAGE..."""
    resources, changes = _split(words)
    if not changes:
        raise CommandError("at least one image update is required")
    images = dict(each.split("=", 1) for each in changes)

    def change(obj: JsonObject) -> None:
        spec = pod_spec(obj)
        containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
        for name, wanted in images.items():
            chosen = [each for each in containers if name in ("*", each["name"])]
            if not chosen:
                raise CommandError(f'unable to find container named "{name}"')
            for each in chosen:
                each["image"] = wanted

    await _change(session, resources, given, "image updated", change)


def _containers(obj: JsonObject, pattern: str) -> list[JsonObject]:
    from fnmatch import fnmatchcase

    spec = pod_spec(obj)
    found = [each for each in spec.get("containers") or [] if fnmatchcase(each["name"], pattern)]
    if not found:
        raise CommandError(
            f"{obj['kind'].lower()}/{obj['metadata']['name']} does not have any containers matching {pattern!r}"
        )
    return found


@set_.command("env")
@_options
@click.option("-c", "--containers", default="*", help="Names of containers; * is all.")
@click.option("-e", "--env", "environment", multiple=True, help="NAME=VALUE.")
@click.option("--from", "source", default="", help="configmap/NAME or secret/NAME.")
@click.option("--prefix", default="", help="Before the names that come from there.")
@click.option("--keys", default="", help="Only these of its keys.")
@switch("--list", "listing", help="Show them.")
@switch("--resolve", hidden=True)
@switch("--overwrite", default=True, hidden=True)
@verb
async def env(session: Session, words: tuple[str, ...], containers: str, listing: bool, **given: Any) -> None:
    """Set environment variables: set env TYPE/NAME NAME=VALUE... NAME-..."""
    resources, changes = _split(words, removals=True)
    changes += given["environment"]
    added: list[JsonObject] = [
        {"name": name, "value": value} for name, value in (each.split("=", 1) for each in changes if "=" in each)
    ]
    removed = {each[:-1] for each in changes if "=" not in each}
    if given["source"]:
        added += await _from_source(session, given)
    if not added and not removed and not listing:
        raise CommandError("at least one environment variable must be provided")

    def change(obj: JsonObject) -> bool:
        for container in _containers(obj, containers):
            kept = [each for each in container.get("env") or [] if each["name"] not in removed]
            for each in added:
                known = next((one for one in kept if one["name"] == each["name"]), None)
                if known is None:
                    kept.append(each)
                else:
                    known.clear()
                    known.update(each)
            if listing:
                session.say(f"# {obj['kind']} {obj['metadata']['name']}, container {container['name']}")
                for each in kept:
                    session.say(_shown(each))
            container["env"] = kept
            if not kept:
                del container["env"]
        return not listing

    await _change(session, resources, given, "env updated", change)


def _shown(variable: JsonObject) -> str:
    source = variable.get("valueFrom")
    if not source:
        return f"{variable['name']}={variable.get('value', '')}"
    for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
        if field in source:
            return f"# {variable['name']} from {kind} {source[field].get('name')}, key {source[field].get('key')}"
    return f"# {variable['name']} from a field of the pod"


async def _from_source(session: Session, given: dict[str, Any]) -> list[JsonObject]:
    import re

    from ..cluster.selecting import one

    found = await one(session, (given["source"],), verb="set env")
    fields = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}
    field = fields.get(found.object["kind"])
    if field is None:
        raise CommandError(f"unsupported resource specified in --from: {given['source']}")
    wanted = {each for each in given["keys"].split(",") if each}
    made = []
    for key in sorted(found.object.get("data") or {}):
        if wanted and key not in wanted:
            continue
        name = re.sub(r"[^A-Z0-9_]", "_", key.upper())
        if name != key:
            session.warn(f"key {key} transferred to {name}")
        made.append({"name": given["prefix"] + name, "valueFrom": {field: {"key": key, "name": found.name}}})
    return made


@set_.command("resources")
@_options
@click.option("-c", "--containers", default="*", help="Names of containers; * is all.")
@click.option("--limits", default="", help="cpu=200m,memory=512Mi")
@click.option("--requests", default="", help="cpu=100m,memory=256Mi")
@verb
async def resources(
    session: Session, words: tuple[str, ...], containers: str, limits: str, requests: str, **given: Any
) -> None:
    """Set what containers ask for and may use: set resources TYPE/NAME --requests=... --limits=..."""
    from .creating import key_values

    if not limits and not requests:
        raise CommandError("you must specify an update to requests or limits (in the form of --requests/--limits)")
    wanted = {
        name: key_values(tuple(text.split(",")), "resource")
        for name, text in (("limits", limits), ("requests", requests))
        if text
    }

    def change(obj: JsonObject) -> None:
        for container in _containers(obj, containers):
            there = container.setdefault("resources", {})
            for name, amounts in wanted.items():
                there[name] = (there.get(name) or {}) | amounts

    await _change(session, words, given, "resource requirements updated", change)


@set_.command("serviceaccount")
@_options
@verb
async def serviceaccount(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set the service account of pods: set serviceaccount TYPE/NAME ACCOUNT."""
    if len(words) < 2:
        raise CommandError("serviceaccount is required")

    def change(obj: JsonObject) -> None:
        spec = pod_spec(obj)
        spec["serviceAccountName"] = spec["serviceAccount"] = words[-1]

    await _change(session, words[:-1], given, "serviceaccount updated", change)


@set_.command("selector")
@_options
@verb
async def selector(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set what a Service selects: set selector service/NAME KEY=VALUE,..."""
    from .creating import key_values

    places, changes = _split(words)
    wanted = key_values(tuple(each for text in changes for each in text.split(",")), "selector")
    if not wanted:
        raise CommandError("one or more selectors must be specified")

    def change(obj: JsonObject) -> None:
        if obj["kind"] != "Service":
            raise CommandError(f"setting a selector is only supported for Services, not for a {obj['kind']}")
        obj["spec"]["selector"] = wanted

    await _change(session, places, given, "selector updated", change)


set_.add_command(serviceaccount, "sa")
