"""Writes on their way through a plug-in, without a server around it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from two_views import TwoViews

from apiserver.admission.plugin import Admission, Plugin
from apiserver.api.errors import ApiError
from apiserver.auth.user import GROUP_NODES, Attributes, Decision, User
from apiserver.registry.table import table

ALICE = User(name="alice", groups=("system:authenticated",))
TABLE = table()


def node_user(name: str) -> User:
    return User(name=f"system:node:{name}", groups=(GROUP_NODES, "system:authenticated"))


def made(key: str, name: str, *, namespace: str = "", uid: str = "", **fields: Any) -> Any:
    """An object of a stored kind from its JSON fields; `metadata` may be among them."""
    row = TABLE.of_key(key)
    metadata = {"name": name, "namespace": namespace, "uid": uid or f"uid of {name}", **fields.pop("metadata", {})}
    return msgspec.convert({"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata, **fields}, row.type)


def write(key: str, obj: Any, old: Any = None, *, operation: str = "", **fields: Any) -> Admission:
    """A creation, an update when there is an `old`, or the `operation` that is named."""
    shown = obj if obj is not None else old
    return Admission(
        **{
            "user": ALICE,
            "resource": TABLE.of_key(key),
            "operation": operation or ("CREATE" if old is None else "UPDATE"),
            "namespace": shown.metadata.namespace,
            "name": shown.metadata.name,
            "obj": obj,
            "old": old,
            **fields,
        }
    )


def pass_through(plugin: Plugin, request: Admission, lookup: TwoViews | None = None) -> Any:
    """The object as the plug-in leaves it."""
    lookup = lookup or TwoViews()

    async def both() -> None:
        await plugin.admit(request, lookup)
        await plugin.check(request, lookup)

    asyncio.run(both())
    return request.obj


def refusal(plugin: Plugin, request: Admission, lookup: TwoViews | None = None) -> ApiError:
    try:
        pass_through(plugin, request, lookup)
    except ApiError as error:
        return error
    raise AssertionError(f"{plugin.name} let it pass")


class Rights:
    """An authorizer that allows what it was given, and remembers what it was asked."""

    def __init__(self, *allowed: tuple[str, str, str]) -> None:
        """Each is (verb, resource or resource/subresource, name)."""
        self.allowed = set(allowed)
        self.asked: list[Attributes] = []

    async def __call__(self, user: User, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        resource = "/".join(filter(None, (attributes.resource, attributes.subresource)))
        return Decision((attributes.verb, resource, attributes.name) in self.allowed, "no rule")
