"""The operations of the API, from the rows of the table: path, method, id, parameters, bodies.

The same list serves both versions of OpenAPI. Ids and tags are built as Kubernetes builds them
(`listCoreV1NamespacedPod`, `core_v1`), because code generators make names of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from apiserver.api.meta import DeleteOptions, Status
from apiserver.registry.resource import Resource, Subresource

from . import parameters as p
from .names import body_type, camel
from .schemas import GroupVersionKind

JSON_TYPES = ("application/json", "application/yaml")
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
#: Groups of operations that a namespaced row of this version also takes without a namespace in the path.
ALPHA = "v1alpha1"

_METHODS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_WORDS = {"post": "create", "get": "read", "put": "replace", "patch": "patch", "delete": "delete"}
_ACTIONS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_CONNECT = ("exec", "attach", "portforward", "proxy")


class Body(NamedTuple):
    """A type, or the list of a type; None for text and streams."""

    type: type[msgspec.Struct] | None
    is_list: bool = False


TEXT = Body(None)


class Operation(NamedTuple):
    path: str
    method: str
    id: str
    tag: str
    description: str
    action: str
    kind: GroupVersionKind
    parameters: tuple[p.Parameter, ...]
    request: Body | None  # None: no body
    request_types: tuple[str, ...]  # media types of the request
    is_patch: bool
    responses: tuple[Body, ...]  # the first is the usual one
    codes: tuple[str, ...]


class _Maker:
    """Of one row."""

    def __init__(self, row: Resource) -> None:
        self.row = row
        self.kind = GroupVersionKind(row.group, row.version, row.kind)
        self.root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
        self.group = camel(row.group) + row.version[:1].upper() + row.version[1:]
        first = camel(row.group)
        self.tag = f"{first[:1].lower()}{first[1:]}_{row.version}"
        self.scope = "Namespaced" if row.namespaced else ""
        self.collection = f"{self.root}/{'namespaces/{namespace}/' if row.namespaced else ''}{row.plural}"
        self.item = self.collection + "/{name}"
        self.in_path = (p.NAMESPACE,) if row.namespaced else ()
        self.body = Body(row.type)

    def make(
        self,
        path: str,
        method: str,
        id_: str,
        description: str,
        *,
        action: str,
        parameters: tuple[p.Parameter, ...],
        kind: GroupVersionKind | None = None,
        request: Body | None = None,
        responses: tuple[Body, ...] = (),
        codes: tuple[str, ...] = ("200",),
    ) -> Operation:
        is_patch = method == "patch"
        return Operation(
            path=path,
            method=method,
            id=id_,
            tag=self.tag,
            description=description,
            action=action,
            kind=kind or self.kind,
            parameters=(*parameters, p.PRETTY),
            request=request,
            request_types=PATCH_TYPES if is_patch else JSON_TYPES if request else (),
            is_patch=is_patch,
            responses=responses or (self.body,),
            codes=codes,
        )

    def all(self) -> Iterator[Operation]:
        verbs = self.row.verbs
        yield from self._of_collection(verbs)
        yield from self._of_item(verbs)
        if self.row.namespaced:
            yield from self._everywhere(verbs)
        for sub in self.row.subresources:
            yield from self._of_subresource(sub)

    def _of_collection(self, verbs: tuple[str, ...]) -> Iterator[Operation]:
        name = f"{self.scope}{self.row.kind}"
        if "list" in verbs:
            yield self.make(
                self.collection,
                "get",
                f"list{self.group}{name}",
                f"List or watch objects of kind {self.row.kind}.",
                action="list",
                parameters=(*self.in_path, *p.READ_LIST, *p.WATCH),
                responses=(Body(self.row.type, is_list=True),),
            )
        if "create" in verbs:
            yield self._create(self.collection, f"create{self.group}{name}", self.in_path)
        if "deletecollection" in verbs:
            yield self.make(
                self.collection,
                "delete",
                f"delete{self.group}Collection{name}",
                f"Delete all objects of kind {self.row.kind} that match.",
                action="deletecollection",
                parameters=(*self.in_path, *p.DELETE_COLLECTION),
                request=Body(DeleteOptions),
                responses=(Body(Status), Body(self.row.type, is_list=True)),
            )

    def _create(self, path: str, id_: str, in_path: tuple[p.Parameter, ...]) -> Operation:
        return self.make(
            path,
            "post",
            id_,
            f"Create a {self.row.kind}.",
            action="post",
            parameters=(*in_path, *p.CREATE),
            request=self.body,
            codes=("200", "201", "202"),
        )

    def _of_item(self, verbs: tuple[str, ...]) -> Iterator[Operation]:
        in_path = (p.NAME, *self.in_path)
        for verb in ("get", "update", "patch", "delete"):
            if verb in verbs:
                yield self._item_operation(verb, self.item, in_path, "")

    def _item_operation(self, verb: str, path: str, in_path: tuple[p.Parameter, ...], part: str) -> Operation:
        """`part` is a subresource that has the body of its object (status); "" is the object."""
        method = _METHODS[verb]
        what = f"the {part.lower()} of a {self.row.kind}" if part else f"a {self.row.kind}"
        own: tuple[p.Parameter, ...] = ()
        request: Body | None = None
        responses: tuple[Body, ...] = (self.body,)
        codes: tuple[str, ...] = ("200",)
        if verb == "get":
            own = () if part else (p.RESOURCE_VERSION,)
        elif verb == "update":
            own, request, codes = p.CREATE, self.body, ("200", "201")
        elif verb == "patch":
            own, request = p.PATCH, self.body
        else:
            own, request, codes = p.DELETE, Body(DeleteOptions), ("200", "202")
            responses = (Body(Status), self.body)
        return self.make(
            path,
            method,
            f"{_WORDS[method]}{self.group}{self.scope}{self.row.kind}{part}",
            f"{_WORDS[method].capitalize()} {what}.",
            action=_ACTIONS[verb],
            parameters=(*in_path, *own),
            request=request,
            responses=responses,
            codes=codes,
        )

    def _everywhere(self, verbs: tuple[str, ...]) -> Iterator[Operation]:
        path = f"{self.root}/{self.row.plural}"
        if "list" in verbs:
            yield self.make(
                path,
                "get",
                f"list{self.group}{self.row.kind}ForAllNamespaces",
                f"List or watch objects of kind {self.row.kind} in all namespaces.",
                action="list",
                parameters=(*p.READ_LIST, *p.WATCH),
                responses=(Body(self.row.type, is_list=True),),
            )
        if "create" in verbs and self.row.version == ALPHA:
            yield self._create(path, f"create{self.group}{self.row.kind}", ())

    def _of_subresource(self, sub: Subresource) -> Iterator[Operation]:
        path = f"{self.item}/{sub.name}"
        in_path = (p.NAME, *self.in_path)
        part = sub.name[:1].upper() + sub.name[1:]
        if sub.name in p.STREAMS:
            yield from self._stream(sub, path, in_path, part)
            return
        same = sub.kind == self.row.kind
        group = sub.group or ("" if sub.version else self.row.group)
        kind = self.kind if same else GroupVersionKind(group, sub.version or self.row.version, sub.kind)
        body = self.body if same else Body(body_type(group or "core", sub.kind))
        for verb in sub.verbs:
            if verb not in _METHODS:
                continue
            if verb == "create":
                yield self._subresource_create(path, in_path, part, kind, body)
            else:
                made = self._item_operation(verb, path, in_path, part)
                request = body if made.request else None
                yield made._replace(kind=kind, request=request, responses=(body,))

    def _subresource_create(
        self, path: str, in_path: tuple[p.Parameter, ...], part: str, kind: GroupVersionKind, body: Body
    ) -> Operation:
        return self.make(
            path,
            "post",
            f"create{self.group}{self.scope}{self.row.kind}{part}",
            f"Create the {part.lower()} of a {self.row.kind}.",
            action="post",
            parameters=(*in_path, *p.CREATE),
            kind=kind,
            request=body,
            responses=(body, Body(Status)),
            codes=("200", "201", "202"),
        )

    def _stream(self, sub: Subresource, path: str, in_path: tuple[p.Parameter, ...], part: str) -> Iterator[Operation]:
        connect = sub.name in _CONNECT
        kind = GroupVersionKind(sub.group or self.row.group, sub.version or self.row.version, sub.kind)
        for verb in sub.verbs:
            method = _METHODS.get(verb)
            if method is None:
                continue
            word = f"connect{self.group}{method.capitalize()}" if connect else f"{_WORDS[method]}{self.group}"
            yield self.make(
                path,
                method,
                f"{word}{self.scope}{self.row.kind}{part}",
                f"Reach the {sub.name} of a {self.row.kind}.",
                action="connect" if connect else _ACTIONS[verb],
                parameters=(*in_path, *p.STREAMS[sub.name]),
                kind=kind,
                responses=(TEXT,),
            )


def operations(rows: Iterable[Resource]) -> Iterator[Operation]:
    for row in rows:
        yield from _Maker(row).all()
