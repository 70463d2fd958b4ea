"""Schemas of the API's types, in the shape of one of the two versions of OpenAPI.

A `Flavour` says how the versions differ; everything else is the same. Definitions are made on demand: asking for a
type makes those it refers to as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from . import names
from .descriptions import describe

Schema = dict[str, Any]


class GroupVersionKind(NamedTuple):
    group: str
    version: str
    kind: str

    def shown(self) -> dict[str, str]:
        return {"group": self.group, "kind": self.kind, "version": self.version}


class Flavour(NamedTuple):
    """v2 knows neither `oneOf` nor anything beside a `$ref` that strict readers would heed."""

    prefix: str
    is_v3: bool

    def ref(self, name: str) -> Schema:
        return {"$ref": self.prefix + name}

    def described(self, schema: Schema, description: str) -> Schema:
        if not description:
            return schema
        if self.is_v3 and "$ref" in schema:  # siblings of a $ref do not count there
            return {"description": description, "allOf": [schema]}
        return {"description": description, **schema}

    def either(self, *types: str) -> Schema:
        return {"oneOf": [{"type": each} for each in types]} if self.is_v3 else {"type": "string"}


V2 = Flavour("#/definitions/", is_v3=False)
V3 = Flavour("#/components/schemas/", is_v3=True)

#: Lists whose items are told apart by more than the key that merges them.
_LIST_KEYS = {
    "core.Container.ports": ("containerPort", "protocol"),
    "core.EphemeralContainer.ports": ("containerPort", "protocol"),
    "core.ServiceSpec.ports": ("port", "protocol"),
    "core.PodSpec.topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
#: Fields that are always written though the server does not ask for them.
NOT_REQUIRED = frozenset(
    {
        "core.Event.reportingComponent",
        "core.Event.reportingInstance",
        "core.HTTPHeader.value",
        "core.ISCSIPersistentVolumeSource.lun",
        "core.ISCSIVolumeSource.lun",
        "core.ResourceFieldSelector.divisor",
        "core.Sysctl.value",
        "discovery.EndpointSlice.endpoints",
        "discovery.EndpointSlice.ports",
        "events.EventSeries.count",
        "rbac.ClusterRole.rules",
        "rbac.Role.rules",
        "rbac.RoleRef.apiGroup",
        "scheduling.PriorityClass.value",
    }
)
#: Parts without which the server refuses the whole; their zero value says nothing.
REQUIRED = frozenset(
    {
        "apps.DeploymentSpec.selector",
        "apps.DeploymentSpec.template",
        "apps.ReplicaSetSpec.selector",
        "certificates.CertificateSigningRequest.spec",
        "core.Binding.target",
        "core.Event.involvedObject",
        "rbac.ClusterRoleBinding.roleRef",
        "rbac.RoleBinding.roleRef",
    }
)


def is_always_written(field: inspect.Field) -> bool:
    """Made with `always`: the factory is a function, not a type such as `list`."""
    factory = field.default_factory
    return factory is not msgspec.NODEFAULT and not isinstance(factory, type)


def is_required(path: str, field: inspect.Field) -> bool:
    """The server refuses an object without it: it is always written, and its zero value is empty or no number."""
    if path in REQUIRED:
        return True
    if not is_always_written(field) or path in NOT_REQUIRED:
        return False
    zero = field.default_factory()
    return not isinstance(zero, bool) and zero is not None and not zero


def without_status(roots: Iterable[type[msgspec.Struct]]) -> frozenset[type]:
    """Types that can be reached without going through a `status`: what people write, and the server checks."""
    found: set[type] = set()

    def visit(part: Any) -> None:
        match part:
            case inspect.Metadata():
                visit(part.type)
            case inspect.UnionType():
                for each in part.types:
                    visit(each)
            case inspect.ListType():
                visit(part.item_type)
            case inspect.DictType():
                visit(part.value_type)
            case inspect.StructType() if part.cls not in found:
                found.add(part.cls)
                for field in part.fields:
                    if field.name != "status":
                        visit(field.type)

    for root in inspect.multi_type_info(tuple(roots)):
        visit(root)
    return frozenset(found)


class Definitions:
    """`made` holds every definition asked for so far, by its name in Kubernetes.

    `kinds` gives the group, version and kind of types that have one; `written` are the types whose required fields
    count (`without_status`).
    """

    def __init__(
        self,
        flavour: Flavour,
        *,
        kinds: Mapping[type, tuple[GroupVersionKind, ...]],
        written: frozenset[type],
    ) -> None:
        self.flavour = flavour
        self.made: dict[str, Schema] = {}
        self._kinds = kinds
        self._written = written

    def ref_to(self, type_: type[msgspec.Struct]) -> Schema:
        name = names.definition_name(type_)
        if name not in self.made:
            self._make(type_, name)
        return self.flavour.ref(name)

    def list_of(self, type_: type[msgspec.Struct]) -> Schema:
        """`PodList`: no type of ours, because lists are put together from bytes."""
        from apiserver.api.meta import ListMeta, TopObject

        name = f"{names.definition_name(type_)}List"
        if name in self.made:
            return self.flavour.ref(name)
        text = describe(TopObject)
        described = self.flavour.described
        self.made[name] = {
            "description": f"A list of {type_.__name__} objects.",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"description": text.of("api_version"), "type": "string"},
                "kind": {"description": text.of("kind"), "type": "string"},
                "metadata": described(self.ref_to(ListMeta), "Bookkeeping of the list."),
                "items": {"description": "The objects.", "type": "array", "items": self.ref_to(type_)},
            },
            **self._tag(each._replace(kind=f"{each.kind}List") for each in self._kinds.get(type_, ())),
        }
        return self.flavour.ref(name)

    def patch(self) -> Schema:
        text = "A change to an object, in one of the forms of the content type."
        return self._scalar(names.PATCH, {"description": text, "type": "object"})

    def _tag(self, kinds: Iterable[GroupVersionKind]) -> Schema:
        shown = [each.shown() for each in kinds]
        return {"x-kubernetes-group-version-kind": shown} if shown else {}

    def _make(self, type_: type[msgspec.Struct], name: str) -> None:
        text = describe(type_)
        schema: Schema = {"description": text.of("") or type_.__name__, "type": "object"}
        self.made[name] = schema  # before its fields: a type may contain itself
        info = inspect.type_info(type_)
        assert isinstance(info, inspect.StructType)
        owner = f"{names.package(type_)}.{type_.__name__}"
        if type_ in self._written:
            required = [each.encode_name for each in info.fields if is_required(f"{owner}.{each.encode_name}", each)]
            if required:
                schema["required"] = sorted(required)
        properties = {each.encode_name: self._field(owner, each, text.of(each.name)) for each in info.fields}
        if properties:
            schema["properties"] = dict(sorted(properties.items()))
        schema.update(self._tag(self._kinds.get(type_, ())))

    def _field(self, owner: str, field: inspect.Field, description: str) -> Schema:
        schema = self.flavour.described(self._type(field.type), description)
        extra = _extra(field.type)
        if "patch_strategy" in extra:
            schema = {**schema, "x-kubernetes-patch-strategy": extra["patch_strategy"]}
        if "patch_merge_key" in extra:
            schema["x-kubernetes-patch-merge-key"] = extra["patch_merge_key"]
        if schema.get("type") == "array":
            schema.update(_list_type(f"{owner}.{field.encode_name}", extra))
        return schema

    def _type(self, part: Any) -> Schema:
        match part:
            case inspect.Metadata():
                return self._with_format(part)
            case inspect.UnionType():
                return self._union([each for each in part.types if not isinstance(each, inspect.NoneType)])
            case inspect.ListType():
                return {"type": "array", "items": self._type(part.item_type)}
            case inspect.DictType():
                return {"type": "object", "additionalProperties": self._type(part.value_type)}
            case inspect.StructType():
                return self.ref_to(part.cls)
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType():
                return {"type": "integer", "format": "int32"}
            case inspect.FloatType():
                return {"type": "number", "format": "double"}
            case inspect.StrType():
                return {"type": "string"}
            case inspect.LiteralType():
                return {"type": "string", "enum": sorted(map(str, part.values))}
        return self._scalar(names.RAW_EXTENSION, {"description": "A value of any form.", "type": "object"})

    def _union(self, parts: list[Any]) -> Schema:
        if len(parts) == 1:
            return self._type(parts[0])
        text = "A whole number, or text: a name or a percentage."
        either = self.flavour.either("integer", "string")
        return self._scalar(names.INT_OR_STRING, {"description": text, "format": "int-or-string", **either})

    def _with_format(self, part: inspect.Metadata) -> Schema:
        extra = part.extra or {}
        match extra.get("format"):
            case "quantity":
                text = "An amount, such as 100m, 1.5 or 64Mi."
                return self._scalar(names.QUANTITY, {"description": text, **self.flavour.either("string", "number")})
            case "date-time":
                name = names.MICRO_TIME if extra.get("micro") else names.TIME
                text = "A moment in time, as in RFC 3339."
                return self._scalar(name, {"description": text, "type": "string", "format": "date-time"})
            case "int32" | "int64" as width:
                return {"type": "integer", "format": width}
            case str(other):
                return {**self._type(part.type), "format": other}
        return self._type(part.type)

    def _scalar(self, name: str, schema: Schema) -> Schema:
        self.made.setdefault(name, schema)
        return self.flavour.ref(name)


def _extra(part: Any) -> Mapping[str, Any]:
    """What `merge_by` and its like said, also where the field may be absent."""
    if isinstance(part, inspect.Metadata):
        return {**_extra(part.type), **(part.extra or {})}
    if isinstance(part, inspect.UnionType):
        return {key: value for each in part.types for key, value in _extra(each).items()}
    return {}


def _list_type(path: str, extra: Mapping[str, Any]) -> Schema:
    if "patch_merge_key" in extra:
        keys = _LIST_KEYS.get(path, (extra["patch_merge_key"],))
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return {"x-kubernetes-list-type": "set" if extra.get("patch_strategy") == "merge" else "atomic"}
