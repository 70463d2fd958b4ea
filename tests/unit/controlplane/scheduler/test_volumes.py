"""Claims of pods: what keeps a pod out, which node its volumes allow, and that they are its own before it goes."""

from __future__ import annotations

from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import claim, node, persistent_volume, pod, storage_class
from fake_api import Faults
from scheduler_invariants import SchedulingRules

from apiserver.api.core.event import Event
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.node_folders import PROVISIONER
from controlplane.controllers.provisioner import parts as provisioner_parts
from controlplane.controllers.volume_binder import parts as binder_parts
from controlplane.runtime.options import Options
from controlplane.scheduler import parts
from controlplane.scheduler.volume_matching import NO_PROVISIONER, SELECTED_NODE

LATER: dict[str, Any] = {"volumeBindingMode": "WaitForFirstConsumer"}


def run(body: Any, *, seed: int = 0, with_binder: bool = True, **settings: Any) -> None:
    async def ruled(world: World) -> None:
        rules = SchedulingRules(world.api)
        world.check(rules.written)
        await body(world)

    makers = [parts, binder_parts, provisioner_parts] if with_binder else [parts]
    run_world(ruled, seed=seed, parts=makers, binds=False, **settings)


def using(name: str, *claims: str, **spec: Any) -> Pod:
    volumes = [
        {"name": f"v{number}", "persistentVolumeClaim": {"claimName": each}} for number, each in enumerate(claims)
    ]
    return pod(name, volumes=volumes, **spec)


def on_node(name: str) -> dict[str, Any]:
    """An affinity of a volume."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}]}
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}


def node_of(world: World, name: str) -> str:
    found = world.api.get(Pod, name)
    assert found is not None
    return found.spec.node_name


def told(world: World, name: str) -> str:
    """What the pod's condition says."""
    found = world.api.get(Pod, name)
    assert found is not None
    return next((each.message for each in found.status.conditions if each.type == "PodScheduled"), "")


def claim_of(world: World, name: str) -> PersistentVolumeClaim:
    found = world.api.get(PersistentVolumeClaim, name)
    assert found is not None
    return found


# --- what keeps a pod out ---------------------------------------------------------------------------------


def test_a_missing_claim_keeps_the_pod_out_until_it_is_there() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), storage_class("fast", PROVISIONER, **LATER), using("a", "data"))
        await world.settle()
        assert told(world, "a") == '0/1 nodes are available: persistentvolumeclaim "data" not found.'
        world.put(claim("data", storageClassName="fast"))
        await world.settle()
        assert node_of(world, "a") == "n1"

    run(body)


def test_a_claim_that_binds_at_once_keeps_the_pod_out_until_it_is_bound() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), node("n2"), storage_class("now", NO_PROVISIONER), claim("data", storageClassName="now"))
        world.put(using("a", "data"))
        await world.settle()
        text = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
        assert told(world, "a") == text
        world.put(persistent_volume("v1", storageClassName="now", **on_node("n2")))
        await world.settle()
        assert claim_of(world, "data").spec.volume_name == "v1"
        assert node_of(world, "a") == "n2"

    run(body)


def test_a_bound_volume_says_which_nodes_reach_it() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), storage_class("now", NO_PROVISIONER), claim("data", storageClassName="now"))
        world.put(persistent_volume("v1", storageClassName="now", **on_node("n2")), using("a", "data"))
        await world.settle()
        assert told(world, "a") == "0/1 nodes are available: 1 node(s) had volume node affinity conflict."
        world.put(node("n2"))
        await world.settle()
        assert node_of(world, "a") == "n2"

    run(body)


def test_a_claim_that_waits_is_met_by_a_free_volume_of_the_node_or_not_at_all() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), node("n2"), storage_class("disks", NO_PROVISIONER, **LATER))
        world.put(claim("data", "2Gi", storageClassName="disks"), using("a", "data"))
        world.put(persistent_volume("small", "1Gi", storageClassName="disks", **on_node("n1")))
        await world.settle()
        text = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
        assert told(world, "a") == text
        world.put(persistent_volume("large", "9Gi", storageClassName="disks", **on_node("n2")))
        world.put(persistent_volume("right", "2Gi", storageClassName="disks", **on_node("n2")))
        await world.settle()
        assert node_of(world, "a") == "n2"
        assert claim_of(world, "data").spec.volume_name == "right"

    run(body)


# --- volumes are the pod's before it goes -----------------------------------------------------------------


def test_a_volume_is_made_on_the_node_that_was_chosen() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), node("n2", cpu="1"), storage_class("fast", PROVISIONER, **LATER))
        world.put(claim("data", storageClassName="fast"), using("a", "data", cpu="2"))
        await world.settle()
        assert node_of(world, "a") == "n1"
        found = claim_of(world, "data")
        assert found.metadata.annotations[SELECTED_NODE] == "n1"
        assert found.status.phase == "Bound"

    run(body)


def test_two_pods_never_get_one_volume() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), storage_class("disks", NO_PROVISIONER, **LATER))
        for number in range(4):
            world.put(claim(f"c{number}", storageClassName="disks"), using(f"p{number}", f"c{number}"))
        for number in range(3):
            world.put(persistent_volume(f"v{number}", storageClassName="disks", **on_node("n1")))
        await world.settle()
        assert sorted(node_of(world, f"p{number}") for number in range(4)) == ["", "n1", "n1", "n1"]
        references = [each.spec.claim_ref for each in world.api.objects(PersistentVolume)]
        assert len({each.name for each in references if each is not None}) == 3
        messages = [each.message for each in world.api.objects(Event) if "binding volumes" in each.message]
        assert messages == [], "what was promised to one pod is not even asked for by another"

    run(body, faults=Faults(of=("controllers",), latency_s=(0.1, 0.2)))


@seeds(5)
def test_a_volume_that_two_schedulers_promise_is_kept_for_the_first_who_says_so(seed: int) -> None:
    async def body(world: World) -> None:
        def kept(verb: str, old: object, new: object) -> None:
            if isinstance(old, PersistentVolume) and isinstance(new, PersistentVolume) and old.spec.claim_ref:
                assert new.spec.claim_ref is not None
                assert new.spec.claim_ref.uid == old.spec.claim_ref.uid

        world.check(kept)
        options = Options(scheduler_name="second")
        async with World([parts], seed=seed + 1, api=world.api, name="other", options=options):
            world.put(node("n1"), storage_class("disks", NO_PROVISIONER, **LATER))
            for number in range(3):
                world.put(persistent_volume(f"v{number}", storageClassName="disks", **on_node("n1")))
            for number in range(4):
                name = ("default-scheduler", "second")[number % 2]
                waiting = using(f"p{number}", f"c{number}", schedulerName=name)
                world.put(claim(f"c{number}", storageClassName="disks"), waiting)
            await world.settle(limit_s=7_200)
        assert sum(bool(node_of(world, f"p{number}")) for number in range(4)) == 3

    run(body, seed=seed, faults=Faults(of=("controllers", "other"), latency_s=(0.05, 0.3)))


def test_a_pod_whose_volumes_do_not_come_in_time_looks_for_a_node_again() -> None:
    """Nobody makes them: the provisioner is away."""

    async def body(world: World) -> None:
        world.put(node("n1"), storage_class("fast", "example.com/away", **LATER))
        world.put(claim("data", storageClassName="fast"), using("a", "data"))
        await world.sleep(40)
        assert node_of(world, "a") == ""
        messages = [each.message for each in world.api.objects(Event) if each.involved_object.name == "a"]
        assert any("timed out waiting for the condition" in each for each in messages), messages
        assert claim_of(world, "data").metadata.annotations[SELECTED_NODE] == "n1"

    run(body, with_binder=False, options=Options(volume_bind_timeout_s=20.0))


def test_a_provisioner_that_gives_up_sends_the_pod_to_look_again() -> None:
    async def body(world: World) -> None:
        world.put(node("n1"), storage_class("fast", "example.com/away", **LATER))
        world.put(claim("data", storageClassName="fast"), using("a", "data"))
        await world.sleep(5)
        world.put(node("n2"))
        patch = {"metadata": {"annotations": {SELECTED_NODE: None}}}
        await world.client.patch(PersistentVolumeClaim, "data", patch, namespace="default")
        await world.sleep(1)
        messages = [each.message for each in world.api.objects(Event) if each.involved_object.name == "a"]
        assert any('provisioning failed for PVC "data"' in each for each in messages), messages

    run(body, with_binder=False)


@seeds(15)
def test_in_any_storm_each_pod_gets_its_volumes_and_a_node_that_reaches_them(seed: int) -> None:
    async def body(world: World) -> None:
        random = world.random
        world.put(storage_class("fast", PROVISIONER, **LATER), storage_class("disks", NO_PROVISIONER, **LATER))
        for number in range(3):
            world.put(node(f"n{number}", pods=6))
        for number in range(8):
            kind = random.choice(("fast", "disks"))
            world.put(claim(f"c{number}", storageClassName=kind), using(f"p{number}", f"c{number}"))
            if kind == "disks":
                reach = on_node(f"n{random.randrange(3)}")
                world.put(persistent_volume(f"v{number}", storageClassName=kind, **reach))
            await world.sleep(random.choice((0.0, 0.5, 3.0)))
            if random.random() < 0.3:
                await world.restart()
        world.api.faults = Faults()
        await world.settle(limit_s=7_200)
        volumes = {each.metadata.name: each for each in world.api.objects(PersistentVolume)}
        for number in range(8):
            found, place = claim_of(world, f"c{number}"), node_of(world, f"p{number}")
            assert place
            assert found.status.phase == "Bound"
            affinity = volumes[found.spec.volume_name].spec.node_affinity
            if affinity is not None and affinity.required is not None:
                assert affinity.required.node_selector_terms[0].match_expressions[0].values == [place]

    run(body, seed=seed, faults=stormy(seed))
