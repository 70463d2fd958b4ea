"""Which objects a command is about: `TYPE NAME...`, `TYPE/NAME...`, `TYPE1,TYPE2`, `all`, selectors, and files.

Nothing is fetched by `targets`; `objects` fetches. What cannot be found does not stop the others: errors are gathered
and told at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.errors import ApiError

from ..failures import CommandError, Several
from . import manifests
from .discovery import Catalogue, Resource
from .manifests import Manifest

if TYPE_CHECKING:
    from .session import Session


class Target(msgspec.Struct, kw_only=True):
    """One object, or (`name` empty) all of a kind that the selectors select. `namespace` None: everywhere, or none."""

    resource: Resource
    name: str = ""
    namespace: str | None = None
    manifest: Manifest | None = None

    @property
    def source(self) -> str:
        return self.manifest.source if self.manifest else ""

    def manifest_annotations(self) -> dict[str, str]:
        return (self.manifest.metadata.get("annotations") or {}) if self.manifest else {}

    def __str__(self) -> str:
        return self.resource.named(self.name)


class Found(msgspec.Struct, kw_only=True):
    """An object as the server has it. `manifest` is what a file says of it, when it came from one."""

    resource: Resource
    object: dict[str, Any]
    manifest: Manifest | None = None

    @property
    def name(self) -> str:
        return str(self.object["metadata"].get("name", ""))

    @property
    def namespace(self) -> str | None:
        return self.object["metadata"].get("namespace") or None

    def __str__(self) -> str:
        return self.resource.named(self.name)


class Selection(msgspec.Struct, kw_only=True):
    """What the command line says about which objects. `everything`: --all."""

    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    recursive: bool = False
    labels: str = ""
    fields: str = ""
    everything: bool = False
    all_namespaces: bool = False

    @property
    def selects(self) -> bool:
        return bool(self.labels or self.fields or self.everything)


async def targets(session: Session, selection: Selection, *, verb: str, names_needed: bool = False) -> list[Target]:
    """Raises CommandError for words that make no sense. `names_needed`: a type alone is not enough."""
    catalogue = await session.catalogue()
    if selection.files:
        if selection.words:
            what = "input" if verb == "delete" else "resource input"
            raise CommandError(
                f"when paths, URLs, or stdin is provided as {what}, you may not specify resource arguments as well"
            )
        return file_targets(session, catalogue, manifests.read(selection.files, recursive=selection.recursive))
    if not selection.words:
        raise CommandError(f"Required resource not specified.\nSee 'kminictl {verb} -h' for help and examples")
    namespace = None if selection.all_namespaces else session.namespace
    found = _of_words(catalogue, selection.words, namespace, verb)
    _check(found, selection, names_needed, verb)
    return found


def _check(found: list[Target], selection: Selection, names_needed: bool, verb: str) -> None:
    named = any(target.name for target in found)
    if named and selection.all_namespaces:
        raise CommandError("a resource cannot be retrieved by name across all namespaces")
    if selection.everything and selection.labels:
        raise CommandError("setting 'all' parameter but found a non empty selector. ")
    if named and (selection.labels or (selection.everything and verb == "delete")):
        raise CommandError("name cannot be provided when a selector is specified")
    if names_needed and not named and not selection.selects:
        raise CommandError("resource(s) were provided, but no name was specified")


def _of_words(catalogue: Catalogue, words: Sequence[str], namespace: str | None, verb: str) -> list[Target]:
    if any("/" in word for word in words):
        return [_of_pair(catalogue, word, namespace, verb) for word in words]
    resources = _resources(catalogue, words[0])
    names = words[1:]
    if not names:
        return [Target(resource=each, namespace=_within(each, namespace)) for each in resources]
    return [
        Target(resource=each, name=name, namespace=_within(each, namespace)) for each in resources for name in names
    ]


def _of_pair(catalogue: Catalogue, word: str, namespace: str | None, verb: str) -> Target:
    type_, slash, name = word.partition("/")
    if not slash:
        raise CommandError(
            "there is no need to specify a resource type as a separate argument when passing arguments in "
            f"resource/name form (e.g. 'kminictl {verb} resource/<resource_name>' instead of 'kminictl {verb} "
            "resource resource/<resource_name>'"
        )
    if "/" in name:
        raise CommandError("arguments in resource/name form may not have more than one slash")
    if not type_ or not name:
        raise CommandError("arguments in resource/name form must have a single resource and name")
    resource = catalogue.find(type_)
    return Target(resource=resource, name=name, namespace=_within(resource, namespace))


def _resources(catalogue: Catalogue, word: str) -> list[Resource]:
    found: list[Resource] = []
    for each in word.split(","):
        category = catalogue.in_category(each)
        found += category or [catalogue.find(each)]
    return found


def _within(resource: Resource, namespace: str | None) -> str | None:
    return namespace if resource.namespaced else None


# --- files ------------------------------------------------------------------------------------------


def file_targets(session: Session, catalogue: Catalogue, found: list[Manifest]) -> list[Target]:
    """Where the objects of manifests live. Raises CommandError for kinds the server has not."""
    return [file_target(session, catalogue, manifest) for manifest in found]


def file_target(session: Session, catalogue: Catalogue, manifest: Manifest) -> Target:
    resource = catalogue.of_object(manifest.api_version, manifest.kind)
    if resource is None:
        raise CommandError(
            f'resource mapping not found for name: "{manifest.name}" namespace: "{manifest.namespace}" from '
            f'"{manifest.source}": no matches for kind "{manifest.kind}" in version "{manifest.api_version}"\n'
            "ensure CRDs are installed first"
        )
    namespace = None
    if resource.namespaced:
        namespace = manifest.namespace or session.namespace
        asked = session.options.namespace
        if asked and namespace != asked:
            raise CommandError(
                f'the namespace from the provided object "{namespace}" does not match the namespace "{asked}". '
                f"You must pass '--namespace={namespace}' to perform this operation."
            )
    return Target(resource=resource, name=manifest.name, namespace=namespace, manifest=manifest)


# --- fetching ---------------------------------------------------------------------------------------


async def objects(
    session: Session, selection: Selection, *, verb: str, names_needed: bool = True, missing_ok: bool = False
) -> tuple[list[Found], list[Exception]]:
    """What is there of what was asked for, and an error for each that is not."""
    found: list[Found] = []
    errors: list[Exception] = []
    for target in await targets(session, selection, verb=verb, names_needed=names_needed):
        try:
            found += await fetch(session, target, selection)
        except ApiError as error:
            if not (missing_ok and error.status_code == 404):
                errors.append(error)
    return found, errors


async def fetch(session: Session, target: Target, selection: Selection) -> list[Found]:
    resource = target.resource
    if target.name:
        got = await session.api.get(resource.kind, target.name, target.namespace)
        return [Found(resource=resource, object=got, manifest=target.manifest)]
    listed = await session.api.list_(resource.kind, target.namespace, labels=selection.labels, fields=selection.fields)
    return [Found(resource=resource, object=each) for each in listed]


async def one(session: Session, words: Sequence[str], *, verb: str, default_type: str = "") -> Found:
    """The one object that is meant. Raises CommandError, ApiError."""
    if default_type and len(words) == 1 and "/" not in words[0]:
        words = (default_type, *words)
    found, errors = await objects(session, Selection(words=tuple(words)), verb=verb)
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)
    if len(found) != 1:
        raise CommandError(f"{verb} works on one object; {len(found)} were named")
    return found[0]
