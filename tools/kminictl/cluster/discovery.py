"""Which resources the server has, and which of them a word such as `deploy`, `pods.v1.` or `all` means.

Two requests (aggregated discovery) tell everything. Where several groups have a name, the one the server lists first
is meant, and of a group the version it prefers, as kubectl's mapper does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from apiserver.api.kinds import Kind
from apiserver.client.requests import Request

from ..failures import CommandError

if TYPE_CHECKING:
    from .api import Api

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class _ResponseKind(msgspec.Struct):
    group: str = ""
    version: str = ""
    kind: str = ""


class _Subresource(msgspec.Struct):
    subresource: str
    verbs: list[str] = []
    responseKind: _ResponseKind | None = None


class _Resource(msgspec.Struct):
    resource: str
    responseKind: _ResponseKind
    scope: str = "Namespaced"
    singularResource: str = ""
    verbs: list[str] = []
    shortNames: list[str] = []
    categories: list[str] = []
    subresources: list[_Subresource] = []


class _Version(msgspec.Struct):
    version: str
    resources: list[_Resource] = []


class _Metadata(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    versions: list[_Version] = []


class _Groups(msgspec.Struct):
    items: list[_Group] = []


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A row of discovery. `kind` is what paths are made from; `preferred`: in the version its group prefers."""

    kind: Kind
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    preferred: bool = True

    @property
    def namespaced(self) -> bool:
        return self.kind.namespaced

    @property
    def qualified(self) -> str:
        """`deployments.apps`: as messages about what is not there name it."""
        return self.kind.group_resource

    @property
    def type_name(self) -> str:
        """`deployment.apps`: what stands before the slash of a name."""
        lower = self.kind.kind.lower()
        return f"{lower}.{self.kind.group}" if self.kind.group else lower

    def named(self, name: str) -> str:
        """`deployment.apps/web`."""
        return f"{self.type_name}/{name}"

    def answers_to(self, word: str) -> bool:
        return word in (self.kind.plural, self.singular, self.kind.kind.lower(), *self.short_names)


class Catalogue:
    """All resources, in the server's order."""

    def __init__(self, resources: list[Resource]) -> None:
        self.resources = resources
        self.api_versions = sorted({each.kind.api_version for each in resources})

    def find(self, word: str) -> Resource:
        """What a type's name means: `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`, `pods.v1.`.

        Raises CommandError as kubectl words it."""
        found = self.lookup(word)
        if found is None:
            raise CommandError(f'the server doesn\'t have a resource type "{word.partition(".")[0]}"')
        return found

    def lookup(self, word: str) -> Resource | None:
        name, dot, rest = word.lower().partition(".")
        candidates = [each for each in self._by_preference() if each.answers_to(name)]
        if not dot:
            return next(iter(candidates), None)
        version, _, group = rest.partition(".")
        exact = (each for each in candidates if (each.kind.version, each.kind.group) == (version, group))
        grouped = (each for each in candidates if each.kind.group == rest)
        prefixed = (each for each in candidates if each.kind.group.startswith(rest))
        return next(exact, None) or next(grouped, None) or next(prefixed, None)

    def in_category(self, word: str) -> list[Resource]:
        return [each for each in self.resources if word in each.categories and "list" in each.verbs and each.preferred]

    def of_object(self, api_version: str, kind: str) -> Resource | None:
        """Where objects of a manifest's apiVersion and kind live."""
        return next(
            (each for each in self.resources if (each.kind.api_version, each.kind.kind) == (api_version, kind)), None
        )

    def _by_preference(self) -> Iterator[Resource]:
        yield from (each for each in self.resources if each.preferred)
        yield from (each for each in self.resources if not each.preferred)


async def discover(api: Api) -> Catalogue:
    core, named = await asyncio.gather(_ask(api, "/api"), _ask(api, "/apis"))
    return catalogue([*core.items, *named.items])


async def _ask(api: Api, path: str) -> _Groups:
    answer = await api.send(Request(method="GET", path=path, headers=(("Accept", _ACCEPT),)))
    return msgspec.json.decode(answer.body, type=_Groups)


def catalogue(groups: list[_Group]) -> Catalogue:
    return Catalogue([row for group in groups for row in _rows(group)])


def _rows(group: _Group) -> Iterator[Resource]:
    for index, version in enumerate(group.versions):
        for each in version.resources:
            yield Resource(
                kind=Kind(
                    each.responseKind.kind,
                    group.metadata.name,
                    version.version,
                    each.resource,
                    each.scope == "Namespaced",
                ),
                singular=each.singularResource or each.responseKind.kind.lower(),
                short_names=tuple(each.shortNames),
                categories=tuple(each.categories),
                verbs=tuple(each.verbs),
                subresources=tuple(sub.subresource for sub in each.subresources),
                preferred=index == 0,
            )
