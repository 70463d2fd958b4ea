"""What tests of the garbage collector put, delete and look for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from controllers_world import World
from controllers_world_objects import config_map, owner_of
from fake_api_verbs import ADMIN

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from apiserver.api.kinds import kind_named
from apiserver.api.meta import DeleteOptions, TopObject
from apiserver.auth.user import User
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from controlplane.controllers import garbage_collector

PARTS = [garbage_collector.parts]

NOBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}


def owned(name: str, *owners: TopObject, blocks: bool = True, namespace: str = "default", **metadata: Any) -> ConfigMap:
    references = [owner_of(each, controller=False, blocks=blocks) for each in owners]
    references += metadata.pop("references", [])
    return config_map(name, namespace=namespace, metadata={"ownerReferences": references, **metadata})


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(ConfigMap, "default")} - {"kube-root-ca.crt"}


def get(world: World, name: str) -> ConfigMap:
    found = world.api.get(ConfigMap, name)
    assert found is not None
    return found


def owners(world: World, name: str) -> list[str]:
    return [each.name for each in get(world, name).metadata.owner_references]


async def delete(
    world: World, name: str, policy: str | None = "Background", type_: type[TopObject] = ConfigMap
) -> None:
    await world.client.delete(type_, name, options=DeleteOptions(propagation_policy=policy))


def written(world: World, *kinds: str) -> list[str]:
    return [f"{each.verb} {each.name}" for each in world.written() if each.kind in (kinds or ("ConfigMap",))]


def goes_last(world: World, *owners: str) -> None:
    """An owner that waits for its dependents goes after those that block it."""

    def look(verb: str, old: Any, new: Any) -> None:
        if verb == "delete" and old.metadata.name in owners:
            left = [each.metadata.name for each in everything(world) if refers(each, old.metadata.uid, blocks=True)]
            assert not left, f"{old.metadata.name} went before {left}"

    world.check(look)


def before(world: World, hook: Callable[[Request], None]) -> None:
    """The hook is called just before a request of the controllers takes effect."""
    do = world.api.do

    def watched(request: Request, client: str = "test", user: User = ADMIN) -> Response:
        if client == "controllers":
            hook(request)
        return do(request, client, user)

    world.api.do = watched  # type: ignore[method-assign]


def everything(world: World) -> list[TopObject]:
    return [*world.api.objects(ConfigMap), *world.api.objects(Pod), *world.api.objects(ReplicaSet)]


def refers(obj: TopObject, uid: str, *, blocks: bool = False) -> bool:
    return any(each.uid == uid and (each.block_owner_deletion or not blocks) for each in obj.metadata.owner_references)


def live_owner(world: World, obj: TopObject, began: Collection[str] = ()) -> str:
    """The name of an owner that is there and does not wait for its dependents to go.

    `began`: UIDs of owners that waited once. Who changes his mind later does not stop what is on its way.
    """
    for each in obj.metadata.owner_references:
        kind = kind_named(each.api_version, each.kind)
        assert kind is not None
        type_: type[TopObject] = ConfigMap if each.kind == "ConfigMap" else ReplicaSet
        found = world.api.get(type_, each.name, obj.metadata.namespace)
        if found is None or found.metadata.uid != each.uid:
            continue
        if found.metadata.deletion_timestamp is None:
            return each.name
        if each.uid not in began and "foregroundDeletion" not in found.metadata.finalizers:
            return each.name
    return ""


def watch_over(world: World) -> None:
    """At each write of the collector."""
    began: set[str] = set()

    def look(verb: str, old: Any, new: Any) -> None:
        if new is not None and "foregroundDeletion" in new.metadata.finalizers:
            began.add(new.metadata.uid)
        if world.api.log[-1].by != "controllers" or old is None or not isinstance(old, ConfigMap | Pod | ReplicaSet):
            return
        if old.metadata.deletion_timestamp is None and (new is None or new.metadata.deletion_timestamp is not None):
            assert old.metadata.owner_references, f"{old.metadata.name} was deleted and belonged to nobody"
            assert not live_owner(world, old, began), f"{old.metadata.name} was deleted, and its owner lives"
        if verb == "delete":
            uid, finalizers = old.metadata.uid, old.metadata.finalizers
            if "orphan" in finalizers:
                assert not [each for each in everything(world) if refers(each, uid)]
            if "foregroundDeletion" in finalizers:
                assert not [each for each in everything(world) if refers(each, uid, blocks=True)]

    world.check(look)
