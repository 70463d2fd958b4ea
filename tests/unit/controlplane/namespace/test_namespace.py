"""A namespace that is deleted ends empty, with its pods first, and says what keeps it."""

from __future__ import annotations

from typing import Any

import msgspec
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import claim, config_map, deployment, namespace, pod, service
from fake_api_verbs import ADMIN

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace, NamespaceCondition
from apiserver.api.core.persistent_volumes import PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Forbidden, InternalError
from apiserver.api.meta import TopObject
from apiserver.auth.user import User
from apiserver.client import Patch
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from controlplane.controllers import namespace as namespaces
from controlplane.controllers.namespace import FINE, Remains, conditions_of

PARTS = [namespaces.parts]


async def fill(world: World, name: str, *, pods: int = 3) -> None:
    await world.client.create(namespace(name))
    world.put(*(pod(f"pod-{number}", namespace=name) for number in range(pods)))
    world.put(config_map("settings", {"colour": "blue"}, namespace=name), deployment("web", 0, namespace=name))
    world.put(service("web", {"app": "web"}, namespace=name), claim("data", namespace=name))


def inside(world: World, name: str) -> list[TopObject]:
    return [obj for type_ in (Pod, ConfigMap, PersistentVolumeClaim) for obj in world.api.objects(type_, name)]


def condition(world: World, name: str, type_: str) -> NamespaceCondition:
    found = world.api.get(Namespace, name)
    assert found is not None
    return next(each for each in found.status.conditions if each.type == type_)


@seeds(25)
def test_a_deleted_namespace_ends_empty(seed: int) -> None:
    async def body(world: World) -> None:
        await fill(world, "team", pods=world.random.randrange(6))
        await fill(world, "other")
        await world.sleep(5)
        await world.client.delete(Namespace, "team")
        for writes in range(world.random.randrange(4)):
            world.crash_after(1 + writes)
            await world.sleep(world.random.uniform(0, 5))
        await world.settle()
        assert world.api.get(Namespace, "team") is None
        assert not inside(world, "team")
        assert world.api.get(Namespace, "other") is not None
        assert len(world.api.objects(Pod, "other")) == 3

    def never_gone_with_something_in_it(world: World) -> Any:
        def look(verb: str, old: Any, new: Any) -> None:
            if verb == "delete" and isinstance(old, Namespace):
                assert not inside(world, old.metadata.name)

        return look

    async def checked(world: World) -> None:
        world.check(never_gone_with_something_in_it(world))
        await body(world)

    run_world(checked, seed=seed, parts=PARTS, nodes=2, faults=stormy(seed))


def test_pods_go_before_what_they_may_need() -> None:
    async def body(world: World) -> None:
        def look(verb: str, old: Any, new: Any) -> None:
            if verb == "delete" and isinstance(old, ConfigMap) and old.metadata.namespace == "team":
                assert not world.api.objects(Pod, "team")

        world.check(look)
        await fill(world, "team")
        await world.settle()
        await world.client.delete(Namespace, "team")
        await world.settle()
        assert world.api.get(Namespace, "team") is None

    run_world(body, parts=PARTS, nodes=1)


def test_the_last_pod_wakes_the_controller() -> None:
    """Nobody waits for half of a pod's grace when the pod was faster."""

    async def body(world: World) -> None:
        await fill(world, "team")
        await world.settle()
        world.nodes.stop_s = (1.0, 1.0)
        await world.client.delete(Namespace, "team")
        await world.sleep(3)
        assert world.api.get(Namespace, "team") is None

    run_world(body, parts=PARTS, nodes=1)


def test_conditions_say_what_remains() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        world.put(config_map("kept", namespace="team", metadata={"finalizers": ["example.com/keep"]}))
        await world.client.delete(Namespace, "team")
        await world.settle()
        remaining = condition(world, "team", "NamespaceContentRemaining")
        assert (remaining.status, remaining.reason) == ("True", "SomeResourcesRemain")
        assert remaining.message == "Some resources are remaining: configmaps. has 1 resource instances"
        finalizers = condition(world, "team", "NamespaceFinalizersRemaining")
        assert finalizers.reason == "SomeFinalizersRemain"
        assert finalizers.message == (
            "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances"
        )
        discovered = condition(world, "team", "NamespaceDeletionDiscoveryFailure")
        assert (discovered.status, discovered.reason) == ("False", "ResourcesDiscovered")
        await world.client.patch(ConfigMap, "kept", {"metadata": {"finalizers": None}}, Patch.MERGE, namespace="team")
        await world.settle(quiet_s=30)
        assert world.api.get(Namespace, "team") is None

    run_world(body, parts=PARTS)


def test_what_cannot_be_listed_is_not_taken_for_empty() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        do = world.api.do
        broken = Response(500, {}, msgspec.json.encode(InternalError("the disk is on fire").status()))

        def sometimes(request: Request, client: str = "test", user: User = ADMIN) -> Response:
            return broken if request.path.endswith("team/secrets") else do(request, client, user)

        world.api.do = sometimes  # type: ignore[method-assign]
        await world.client.delete(Namespace, "team")
        await world.sleep(60)
        failure = condition(world, "team", "NamespaceDeletionContentFailure")
        assert (failure.status, failure.reason) == ("True", "ContentDeletionFailed")
        assert failure.message == "Failed to delete all resource types, 1 remaining: secrets.: the disk is on fire"
        world.api.do = do  # type: ignore[method-assign]
        await world.settle(quiet_s=30)
        assert world.api.get(Namespace, "team") is None

    run_world(body, parts=PARTS)


def test_one_that_cannot_be_deleted_does_not_keep_the_others() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        world.put(*(config_map(f"c{number:03}", namespace="team") for number in range(100)))
        do = world.api.do
        broken = Response(403, {}, msgspec.json.encode(Forbidden("not this one").status()))

        def sometimes(request: Request, client: str = "test", user: User = ADMIN) -> Response:
            refused = request.method == "DELETE" and request.path.endswith("/c000")
            return broken if refused else do(request, client, user)

        world.api.do = sometimes  # type: ignore[method-assign]
        await world.client.delete(Namespace, "team")
        await world.sleep(60)
        assert [each.metadata.name for each in world.api.objects(ConfigMap, "team")] == ["c000"]
        failure = condition(world, "team", "NamespaceDeletionContentFailure")
        assert failure.message == "Failed to delete all resource types, 1 remaining: configmaps.: not this one"

    run_world(body, parts=PARTS)


def test_conditions_are_written_only_when_they_change() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        world.put(config_map("kept", namespace="team", metadata={"finalizers": ["example.com/keep"]}))
        await world.client.delete(Namespace, "team")
        await world.sleep(600)
        assert len([each for each in world.written() if each.kind == "Namespace"]) == 1

    run_world(body, parts=PARTS)


def test_other_finalizers_of_the_namespace_are_not_ours() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        found = await world.client.get(Namespace, "team")
        found.spec.finalizers = ["kubernetes", "example.com/mine"]
        await world.client.update(found, subresource="finalize")
        await world.client.delete(Namespace, "team")
        await world.settle()
        left = world.api.get(Namespace, "team")
        assert left is not None
        assert left.spec.finalizers == ["example.com/mine"]

    run_world(body, parts=PARTS)


def test_a_namespace_that_stays_is_left_alone() -> None:
    async def body(world: World) -> None:
        await fill(world, "team")
        await world.settle()
        assert not world.written()

    run_world(body, parts=PARTS, nodes=1)


def test_a_time_is_new_only_when_the_status_is() -> None:
    first = conditions_of([], Remains(objects={"pods.": 2}).problems(), "2026-01-01T00:00:00Z")
    second = conditions_of(first, Remains(objects={"pods.": 1}).problems(), "2026-01-01T00:00:09Z")
    third = conditions_of(second, {}, "2026-01-01T00:00:10Z")
    assert [each.type for each in first] == list(FINE)
    remaining = [next(e for e in each if e.type == "NamespaceContentRemaining") for each in (first, second, third)]
    assert [each.last_transition_time for each in remaining] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:10Z",
    ]
    assert [each.reason for each in remaining] == ["SomeResourcesRemain", "SomeResourcesRemain", "ContentRemoved"]


def test_conditions_of_others_are_kept() -> None:
    other = NamespaceCondition(type="Mine", status="True", reason="R", message="m")
    assert other in conditions_of([other], {}, "2026-01-01T00:00:00Z")


def test_errors_are_told() -> None:
    reason, message = Remains(errors=["pods.: no"]).problems()["NamespaceDeletionContentFailure"]
    assert reason == "ContentDeletionFailed"
    assert message == "Failed to delete all resource types, 1 remaining: pods.: no"
