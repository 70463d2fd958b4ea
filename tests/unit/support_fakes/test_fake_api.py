"""The API in memory: watches, faults, crashes and hooks. Its rules are compared with a server's in integration/api."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
import virtual_time
from controllers_world import seeds, stormy
from controllers_world_objects import config_map, deployment, lease, node, pod, service
from fake_api import CONTROLLERS, FakeApi, Faults

from apiserver.api.apps import Deployment
from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import ApiError, Conflict, Fenced, Gone, ServiceUnavailable
from apiserver.client import Client, Informer, ListOptions, Unanswered
from apiserver.client.pods import bind


async def watched(client: Client, number: int, **options: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with aclosing(client.watch(ConfigMap, **options)) as events:
        async for event in events:
            found.append((event.type, event.object.metadata.name))
            if len(found) == number:
                break
    return found


def test_a_put_object_looks_as_the_server_makes_it() -> None:
    api = FakeApi()
    made = api.put(deployment("web", 2))
    assert made.spec.strategy.type == "RollingUpdate"
    assert (made.metadata.generation, made.metadata.resource_version) == (1, str(api.store.revision))
    assert api.put(service("web")).spec.cluster_ip.startswith("10.96.")
    assert [each.kind for each in api.log[-2:]] == ["Deployment", "Service"]


def test_what_is_put_on_a_node_counts_there_until_it_is_removed() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        api.put(node("n1", cpu="1"))
        api.put(pod("first", cpu="1", node_name="n1"))
        api.put(pod("second", cpu="1"))
        with pytest.raises(Conflict, match="node n1 has not enough cpu"):
            await bind(client, "second", "n1", namespace="default")
        api.remove(Pod, "first")
        await bind(client, "second", "n1", namespace="default")

    virtual_time.run(body())


def test_the_same_seed_makes_the_same_world() -> None:
    async def body() -> list[Any]:
        api = FakeApi(seed=5)
        client = api.client()
        made = [await client.create(pod("web-")) for _ in range(3)]
        return [each.metadata for each in made]

    assert virtual_time.run(body()) == virtual_time.run(body())


def test_a_watch_shows_what_is_there_then_what_happens() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        api.put(config_map("a", {"of": "first"}))
        await client.delete(ConfigMap, "kube-root-ca.crt", namespace="default")
        task = asyncio.create_task(watched(client, 3, namespace="default"))
        await asyncio.sleep(1)
        api.put(config_map("a", {"of": "second"}))
        await client.delete(ConfigMap, "a")
        assert await task == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    virtual_time.run(body())


def test_a_selecting_watch_is_told_of_what_begins_and_ceases_to_match() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        start = str(api.store.revision)
        for value in ("x", "y", "x"):
            api.put(config_map("a", metadata={"labels": {"app": value}}))
        found = await watched(client, 3, resource_version=start, labels="app=x")
        assert [type_ for type_, _ in found] == ["ADDED", "DELETED", "ADDED"]

    virtual_time.run(body())


def test_history_that_is_gone_is_a_410_at_once_and_in_the_middle() -> None:
    async def body() -> None:
        api = FakeApi(faults=Faults(watch_lag_s=(5.0, 5.0)))
        client = api.client()
        start = str(api.store.revision)
        late = asyncio.create_task(watched(client, 9, resource_version=start))
        api.put(config_map("a"))
        api.put(config_map("b"))
        await asyncio.sleep(1)
        api.compact()
        for task in (late, asyncio.create_task(watched(client, 1, resource_version=start))):
            with pytest.raises(Gone):
                await task

    virtual_time.run(body())


def test_pages_show_one_revision() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        for name in "abcd":
            api.put(config_map(name, metadata={"labels": {"app": "x"}}))
        first = await client.list_page(ConfigMap, options=ListOptions(labels="app=x", limit=2))
        api.remove(ConfigMap, "d")
        api.put(config_map("e", metadata={"labels": {"app": "x"}}))
        options = ListOptions(labels="app=x", limit=5, continue_=first.metadata.continue_)
        second = await client.list_page(ConfigMap, options=options)
        assert [each.metadata.name for each in first.items + second.items] == ["a", "b", "c", "d"]

    virtual_time.run(body())


@seeds(30)
def test_an_informer_ends_with_what_is_there_whatever_goes_wrong(seed: int) -> None:
    async def body() -> None:
        api = FakeApi(seed=seed, faults=stormy(seed))
        async with Informer(api.client(CONTROLLERS), ConfigMap) as informer:
            for number in range(40):
                api.put(config_map(f"c{api.random.randrange(5)}", {"n": str(number)}))
                if api.random.random() < 0.3:
                    api.remove(ConfigMap, api.random.choice(api.objects(ConfigMap, "default")).metadata.name)
                if api.random.random() < 0.1:
                    api.break_watches()
                if api.random.random() < 0.05:
                    api.compact()
                await asyncio.sleep(api.random.random())
            api.heal()
            await asyncio.sleep(120)
            there = {(each.metadata.name, each.metadata.resource_version) for each in informer.cache}
            assert there == {(each.metadata.name, each.metadata.resource_version) for each in api.objects(ConfigMap)}

    virtual_time.run(body(), seed=seed, shuffle=True)


def test_lag_delays_events_and_keeps_their_order() -> None:
    async def body() -> None:
        api = FakeApi(faults=Faults(watch_lag_s=(2.0, 4.0)))
        client = api.client()
        task = asyncio.create_task(watched(client, 2, resource_version=str(api.store.revision)))
        await asyncio.sleep(1)
        api.put(config_map("a"))
        api.put(config_map("b"))
        await asyncio.sleep(1.9)
        assert not task.done()
        assert [name for _, name in await task] == ["a", "b"]
        assert asyncio.get_running_loop().time() >= 3.0

    virtual_time.run(body())


@pytest.mark.parametrize(
    ("fault", "error", "happened"),
    [
        (Faults(lost_answers=1.0), Unanswered, True),
        (Faults(lost_requests=1.0), Unanswered, False),
        (Faults(refused=1.0), ServiceUnavailable, False),
    ],
)
def test_a_write_that_fails_happened_or_not_as_its_fault_says(
    fault: Faults, error: type[ApiError], happened: bool
) -> None:
    async def body() -> None:
        api = FakeApi(faults=fault)
        with pytest.raises(error) as raised:
            await api.client().create(config_map("a"))
        assert (api.get(ConfigMap, "a") is not None) == happened
        assert raised.value.definite == (error is ServiceUnavailable)
        api.heal()
        assert await api.client().list_page(ConfigMap)

    virtual_time.run(body())


def test_faults_meet_only_the_clients_that_are_named() -> None:
    async def body() -> None:
        api = FakeApi(faults=Faults(lost_answers=1.0, of=("unlucky",)))
        await api.client("lucky").create(config_map("a"))
        with pytest.raises(Unanswered):
            await api.client("unlucky").create(config_map("b"))

    virtual_time.run(body())


def test_a_client_that_crashes_does_its_last_write_and_never_hears_of_it() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client(CONTROLLERS)
        api.crash_after(2)

        async def write(number: int) -> None:
            await client.create(config_map(f"c{number}"))

        tasks = [asyncio.create_task(write(number)) for number in range(4)]
        await api.crashed().wait()
        await asyncio.sleep(60)
        assert [each.name for each in api.log if each.by == CONTROLLERS] == ["c0", "c1"]
        assert sum(task.done() for task in tasks) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        api.revive()
        await client.create(config_map("later"))
        assert not api.crashed().is_set()

    virtual_time.run(body())


def test_a_hook_sees_every_write_and_what_it_raises_is_kept() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        seen: list[tuple[str, Any, Any]] = []

        def hook(verb: str, old: Any, new: Any) -> None:
            if isinstance(new or old, Deployment):
                seen.append((verb, old and old.spec.replicas, new and new.spec.replicas))
                assert verb != "delete", "nobody may do that"

        api.on_write.append(hook)
        await client.create(deployment("web", 1))
        await client.patch(Deployment, "web", {"spec": {"replicas": 2}})
        await client.patch(Deployment, "web", {"spec": {"replicas": 2}})  # changes nothing
        api.check()
        await client.delete(Deployment, "web")
        assert seen == [("create", None, 1), ("update", 1, 2), ("delete", 2, None)]
        with pytest.raises(AssertionError, match="nobody may do that"):
            api.check()

    virtual_time.run(body())


def test_a_deposed_leader_writes_no_more() -> None:
    async def body() -> None:
        api = FakeApi()
        client = api.client()
        first = await client.create(lease("leader", "one", namespace="kube-system"))
        assert first.spec.lease_transitions == 0
        fenced = client.fence("kube-system/leader", 0)
        await fenced.create(config_map("a"))
        await client.patch(Lease, "leader", {"spec": {"holderIdentity": "two"}}, namespace="kube-system")
        with pytest.raises(Fenced):
            await fenced.create(config_map("b"))
        assert api.objects(Service) == []

    virtual_time.run(body())


def test_options_are_copied_into_no_fault_of_another_api() -> None:
    one, other = FakeApi(), FakeApi()
    one.faults.refused = 1.0
    assert msgspec.structs.asdict(other.faults) == msgspec.structs.asdict(Faults())
