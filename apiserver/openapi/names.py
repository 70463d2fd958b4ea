"""Names of definitions: those of Kubernetes, because clients and generators know them by these."""

from __future__ import annotations

from importlib import import_module

import msgspec

_HERE = "apiserver.api."
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"
TIME = f"{META}.Time"
MICRO_TIME = f"{META}.MicroTime"
PATCH = f"{META}.Patch"
LIST_META = f"{META}.ListMeta"
STATUS = f"{META}.Status"
DELETE_OPTIONS = f"{META}.DeleteOptions"

#: Package under apiserver.api -> where its types are in Kubernetes. All others are `io.k8s.api.<package>.v1`.
_PREFIXES = {"meta": META, "v1alpha1": "kmini.api.v1alpha1"}


def package(type_: type) -> str:
    """`core`, `apps`, `meta`: the part of apiserver.api it lies in."""
    return type_.__module__.removeprefix(_HERE).split(".")[0]


def definition_name(type_: type[msgspec.Struct]) -> str:
    """`io.k8s.api.core.v1.Pod`, `io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta`."""
    part = package(type_)
    return f"{_PREFIXES.get(part) or f'io.k8s.api.{part}.v1'}.{type_.__name__}"


def body_type(group: str, kind: str) -> type[msgspec.Struct] | None:
    """The type of a subresource's body in another group: `policy`, `Eviction`. None: it has no body of ours."""
    part = group.removesuffix(".k8s.io").split(".")[0]
    if not part.isidentifier():
        return None
    try:
        module = import_module(f"{_HERE}{part}")
    except ModuleNotFoundError:
        return None
    found = getattr(module, kind, None)
    return found if isinstance(found, type) and issubclass(found, msgspec.Struct) else None


def camel(group: str) -> str:
    """`rbac.authorization.k8s.io` -> `RbacAuthorization`; the core group is `Core`."""
    words = (group or "core").removesuffix(".k8s.io").split(".")
    return "".join(word[:1].upper() + word[1:] for word in words)
