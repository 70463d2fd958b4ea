"""Writes: what a conflict says, what is tried again, what is not written at all, and how objects go away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from api_cluster import LoopOf
from api_server import Answered, RunningApi, api_server

from apiserver.api.errors import from_status
from apiserver.api.meta import Status
from raftstore.errors import OutcomeUnknown, TooManyRequests

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NAMESPACES = "/api/v1/namespaces"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def api(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> RunningApi:
    return loop.enter(api_server(tmp_path_factory.mktemp("api")))


def config_map(name: str, *, finalizers: list[str] | None = None, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "finalizers": finalizers or []}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec}}


def deployment(name: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def check(answer: Answered, code: int, reason: str) -> str:
    """The message of a Status."""
    assert (answer.code, answer.body["reason"]) == (code, reason), answer
    return str(answer.body["message"])


async def get(api: RunningApi, path: str) -> Any:
    answer = await api.json("GET", path)
    assert answer.code == 200, answer
    return answer.body


# --- conflicts --------------------------------------------------------------------------------------------


def test_a_conflict_names_the_object(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        old = await api.create(DEPLOYMENTS, deployment("contested"))
        await api.json("PATCH", f"{DEPLOYMENTS}/contested", {"spec": {"replicas": 2}}, headers=MERGE)
        answer = await api.json("PUT", f"{DEPLOYMENTS}/contested", old)
        message = check(answer, 409, "Conflict")
        assert message.startswith(
            'Operation cannot be fulfilled on deployments.apps "contested": the object has been mod'
        )
        assert answer.body["details"] == {"name": "contested", "group": "apps", "kind": "deployments"}
        patch = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "spec": {"replicas": 3}}
        check(await api.json("PATCH", f"{DEPLOYMENTS}/contested", patch, headers=MERGE), 409, "Conflict")
        assert (await get(api, f"{DEPLOYMENTS}/contested"))["spec"]["replicas"] == 2

    loop.run(test())


def test_writes_that_name_no_version_are_built_anew_until_they_fit(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        await api.create(MAPS, config_map("busy"))
        answers = await asyncio.gather(
            *(api.json("PATCH", f"{MAPS}/busy", {"data": {f"k{n}": "v"}}, headers=MERGE) for n in range(6)),
            *(api.json("PUT", f"{MAPS}/busy/", config_map("busy", put="v")) for _ in range(1)),
        )
        assert [answer.code for answer in answers] == [200] * 7
        shown = [set(answer.body["data"]) for answer in answers]
        versions = [int(answer.body["metadata"]["resourceVersion"]) for answer in answers]
        final = (await get(api, f"{MAPS}/busy"))["data"]
        after = {f"k{n}" for n in range(6) if versions[n] > versions[6]}
        assert set(final) == after | {"put"}, "each on top of what was there"
        assert all(f"k{n}" in shown[n] for n in range(6))

    loop.run(test())


def test_of_many_with_one_version_one_wins(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        made = await api.create(MAPS, config_map("versioned"))
        bodies = [{**made, "data": {"n": str(n)}} for n in range(8)]
        answers = await asyncio.gather(*(api.json("PUT", f"{MAPS}/versioned", body) for body in bodies))
        assert sorted(answer.code for answer in answers) == [200] + [409] * 7
        won = next(answer.body for answer in answers if answer.code == 200)
        assert (await get(api, f"{MAPS}/versioned")) == won

    loop.run(test())


def test_of_many_creations_one_is_done(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        answers = await asyncio.gather(*(api.json("POST", MAPS, config_map("only", n=str(n))) for n in range(8)))
        assert sorted(answer.code for answer in answers) == [201] + [409] * 7
        refused = next(answer for answer in answers if answer.code == 409)
        assert check(refused, 409, "AlreadyExists") == 'configmaps "only" already exists'
        names = await asyncio.gather(*(api.create(MAPS, {"metadata": {"generateName": "made-"}}) for _ in range(20)))
        assert len({each["metadata"]["name"] for each in names}) == 20

    loop.run(test())


def test_preconditions_of_a_deletion(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        made = (await api.create(MAPS, config_map("guarded")))["metadata"]
        for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
            answer = await api.json("DELETE", f"{MAPS}/guarded", {"preconditions": wrong})
            assert "Precondition failed" in check(answer, 409, "Conflict")
        right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
        assert (await api.json("DELETE", f"{MAPS}/guarded", {"preconditions": right})).code == 200

    loop.run(test())


# --- what is not written ----------------------------------------------------------------------------------


def test_what_changes_nothing_writes_nothing(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        await api.create(DEPLOYMENTS, deployment("still"))
        await api.create(
            "/api/v1/namespaces/default/secrets", {"metadata": {"name": "still"}, "stringData": {"a": "b"}}
        )
        made = await get(api, f"{DEPLOYMENTS}/still")
        secret = await get(api, "/api/v1/namespaces/default/secrets/still")
        before = api.store.revision
        same = [
            ("PUT", f"{DEPLOYMENTS}/still", deployment("still"), {}),
            ("PUT", f"{DEPLOYMENTS}/still", made, {}),
            ("PATCH", f"{DEPLOYMENTS}/still", {"spec": {"replicas": 1}}, MERGE),
            ("PATCH", f"{DEPLOYMENTS}/still", {"spec": {"replicas": 1}}, STRATEGIC),
            ("PATCH", f"{DEPLOYMENTS}/still", [{"op": "replace", "path": "/spec/replicas", "value": 1}], JSON_PATCH),
            ("PUT", f"{DEPLOYMENTS}/still/status", made, {}),
            ("PUT", f"{DEPLOYMENTS}/still/scale", {"spec": {"replicas": 1}}, {}),
            ("PUT", "/api/v1/namespaces/default/secrets/still", secret, {}),
        ]
        for method, path, body, headers in same:
            answer = await api.json(method, path, body, headers=headers)
            assert answer.code == 200, answer
            assert answer.body["metadata"]["resourceVersion"] in (
                made["metadata"]["resourceVersion"],
                secret["metadata"]["resourceVersion"],
            )
        key = b"/registry/apps/deployments/default/still"
        assert [api.store.peek(key).mod_revision] == [int(made["metadata"]["resourceVersion"])]  # type: ignore[union-attr]
        assert api.store.revision == before

    loop.run(test())


def test_generation_counts_changes_of_what_is_wanted(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = f"{DEPLOYMENTS}/counted"

        async def generation_after(body: Any, place: str = "") -> int:
            answer = await api.json("PATCH", path + place, body, headers=MERGE)
            assert answer.code == 200, answer
            return int((await get(api, path))["metadata"]["generation"])

        assert (await api.create(DEPLOYMENTS, deployment("counted")))["metadata"]["generation"] == 1
        assert await generation_after({"metadata": {"labels": {"a": "b"}}}) == 1
        assert await generation_after({"metadata": {"annotations": {"a": "b"}}}) == 1
        assert await generation_after({"status": {"observedGeneration": 1}}, "/status") == 1
        assert await generation_after({"spec": {"replicas": 2}}) == 2
        assert await generation_after({"spec": {"replicas": 3}}, "/scale") == 3
        assert await generation_after({"metadata": {"generation": 9}}) == 3

    loop.run(test())


def test_identity_never_changes(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        made = (await api.create(MAPS, config_map("same")))["metadata"]
        body = config_map("same", a="b")
        body["metadata"] |= {"uid": "other"}
        assert "UID in precondition: other" in check(await api.json("PUT", f"{MAPS}/same", body), 409, "Conflict")
        body["metadata"] = {"name": "same", "creationTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x"}
        body["metadata"] |= {"deletionTimestamp": "2000-01-01T00:00:00Z"}
        kept = (await api.json("PUT", f"{MAPS}/same", body)).body["metadata"]
        assert {**kept, "resourceVersion": ""} == {**made, "resourceVersion": ""}
        check(await api.json("PUT", f"{MAPS}/same", config_map("other")), 400, "BadRequest")
        check(
            await api.json("PATCH", f"{MAPS}/same", {"metadata": {"name": "other"}}, headers=MERGE), 400, "BadRequest"
        )

    loop.run(test())


def test_status_and_the_rest_are_written_apart(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        body = {**deployment("apart"), "status": {"replicas": 7}}
        assert not (await api.create(DEPLOYMENTS, body))["status"].get("replicas")
        assert not (await api.json("PUT", f"{DEPLOYMENTS}/apart", body)).body["status"].get("replicas")
        both = {"spec": {"replicas": 5}, "status": {"replicas": 3}}
        changed = (await api.json("PATCH", f"{DEPLOYMENTS}/apart/status", both, headers=MERGE)).body
        assert (changed["spec"]["replicas"], changed["status"]["replicas"]) == (1, 3)
        changed = (await api.json("PATCH", f"{DEPLOYMENTS}/apart", both, headers=MERGE)).body
        assert (changed["spec"]["replicas"], changed["status"]["replicas"]) == (5, 3)

    loop.run(test())


# --- how objects go away ----------------------------------------------------------------------------------


def test_finalizers_hold_an_object_until_the_last_is_gone(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        await api.create(MAPS, config_map("held", finalizers=["a.example/x", "a.example/y"]))
        marked = (await api.json("DELETE", f"{MAPS}/held")).body
        assert marked["metadata"]["deletionTimestamp"]
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
        again = (await api.json("DELETE", f"{MAPS}/held")).body
        assert again == marked
        more = {"metadata": {"finalizers": ["a.example/x", "a.example/y", "a.example/z"]}}
        assert (await api.json("PATCH", f"{MAPS}/held", more, headers=MERGE)).code == 422, "none is added any more"
        one = {"metadata": {"finalizers": ["a.example/y"]}}
        assert (await api.json("PATCH", f"{MAPS}/held", one, headers=MERGE)).body["metadata"]["finalizers"] == [
            "a.example/y"
        ]
        last = await api.json("PATCH", f"{MAPS}/held", {"metadata": {"finalizers": None}}, headers=MERGE)
        assert last.code == 200
        check(await api.json("GET", f"{MAPS}/held"), 404, "NotFound")

    loop.run(test())


@pytest.mark.parametrize(
    ("options", "finalizer"),
    [
        ({"propagationPolicy": "Foreground"}, "foregroundDeletion"),
        ({"propagationPolicy": "Orphan"}, "orphan"),
        ({"orphanDependents": True}, "orphan"),
        ({"propagationPolicy": "Background"}, ""),
        ({"orphanDependents": False}, ""),
        ({}, ""),
    ],
)
def test_propagation_is_left_to_the_garbage_collector(
    loop: LoopOf, api: RunningApi, options: dict[str, Any], finalizer: str
) -> None:
    async def test() -> None:
        await api.create(DEPLOYMENTS, deployment("owner"))
        answer = await api.json("DELETE", f"{DEPLOYMENTS}/owner", options)
        assert answer.code == 200
        if not finalizer:
            check(await api.json("GET", f"{DEPLOYMENTS}/owner"), 404, "NotFound")
            return
        assert (await get(api, f"{DEPLOYMENTS}/owner"))["metadata"]["finalizers"] == [finalizer]
        await api.json("PATCH", f"{DEPLOYMENTS}/owner", {"metadata": {"finalizers": []}}, headers=MERGE)
        check(await api.json("GET", f"{DEPLOYMENTS}/owner"), 404, "NotFound")

    loop.run(test())


def test_a_pod_with_a_node_is_marked_and_removed_by_its_node(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        await api.create(PODS, pod("runs", nodeName="w1", terminationGracePeriodSeconds=20))
        marked = (await api.json("DELETE", f"{PODS}/runs")).body["metadata"]
        assert marked["deletionGracePeriodSeconds"] == 20
        assert (await api.json("DELETE", f"{PODS}/runs")).body["metadata"] == marked
        longer = (await api.json("DELETE", f"{PODS}/runs?gracePeriodSeconds=100")).body["metadata"]
        assert longer == marked, "never longer"
        shorter = (await api.json("DELETE", f"{PODS}/runs", {"gracePeriodSeconds": 5})).body["metadata"]
        assert shorter["deletionGracePeriodSeconds"] == 5
        assert shorter["deletionTimestamp"] < marked["deletionTimestamp"]
        assert (await api.json("DELETE", f"{PODS}/runs?gracePeriodSeconds=0")).code == 200
        check(await api.json("GET", f"{PODS}/runs"), 404, "NotFound")
        await api.create(PODS, pod("unbound"))
        assert (await api.json("DELETE", f"{PODS}/unbound")).code == 200
        check(await api.json("GET", f"{PODS}/unbound"), 404, "NotFound")

    loop.run(test())


def test_a_pod_with_finalizers_outlives_its_node_s_word(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        body = pod("kept", nodeName="w1")
        body["metadata"]["finalizers"] = ["a.example/x"]
        await api.create(PODS, body)
        await api.json("DELETE", f"{PODS}/kept?gracePeriodSeconds=0")
        assert (await get(api, f"{PODS}/kept"))["metadata"]["deletionTimestamp"]
        await api.json("PATCH", f"{PODS}/kept", {"metadata": {"finalizers": []}}, headers=MERGE)
        check(await api.json("GET", f"{PODS}/kept"), 404, "NotFound")
        await api.create(PODS, {**body, "metadata": {**body["metadata"], "name": "both"}})
        await api.json("DELETE", f"{PODS}/both")
        await api.json("PATCH", f"{PODS}/both", {"metadata": {"finalizers": []}}, headers=MERGE)
        assert (await get(api, f"{PODS}/both"))["metadata"]["deletionGracePeriodSeconds"] == 30, (
            "its node stops it first"
        )
        await api.json("DELETE", f"{PODS}/both?gracePeriodSeconds=0")
        check(await api.json("GET", f"{PODS}/both"), 404, "NotFound")

    loop.run(test())


def test_a_collection_is_deleted_by_selector(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        await api.create(NAMESPACES, {"metadata": {"name": "collected"}})
        path = MAPS.replace("default", "collected")
        for name, colour in (("a", "red"), ("b", "green"), ("c", "red")):
            await api.create(path, {"metadata": {"name": name, "labels": {"colour": colour}}})
        held = {"metadata": {"name": "d", "labels": {"colour": "red"}, "finalizers": ["a.example/x"]}}
        await api.create(path, held)
        answer = await api.json("DELETE", f"{path}?labelSelector=colour%3Dred")
        assert answer.code == 200
        assert [each["metadata"]["name"] for each in answer.body["items"]] == ["a", "c", "d"]
        left = (await get(api, path))["items"]
        assert [each["metadata"]["name"] for each in left] == ["b", "d", "kube-root-ca.crt"]
        assert left[1]["metadata"]["deletionTimestamp"]
        assert (await api.json("DELETE", f"{path}?dryRun=All")).code == 200
        assert len((await get(api, path))["items"]) == 3

    loop.run(test())


def test_a_namespace_is_emptied_before_it_goes(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        made = await api.create(NAMESPACES, {"metadata": {"name": "emptied"}})
        assert (made["spec"]["finalizers"], made["status"]["phase"]) == (["kubernetes"], "Active")
        gone = (await api.json("DELETE", f"{NAMESPACES}/emptied")).body
        assert (gone["status"]["phase"], bool(gone["metadata"]["deletionTimestamp"])) == ("Terminating", True)
        cleared = {**gone, "spec": {"finalizers": []}}
        kept = await api.json("PUT", f"{NAMESPACES}/emptied", cleared)
        assert kept.body["spec"]["finalizers"] == ["kubernetes"], "only by its own subresource"
        assert (await api.json("PUT", f"{NAMESPACES}/emptied/finalize", cleared)).code == 200
        check(await api.json("GET", f"{NAMESPACES}/emptied"), 404, "NotFound")
        check(await api.json("DELETE", f"{NAMESPACES}/default"), 403, "Forbidden")

    loop.run(test())


# --- what the store says ----------------------------------------------------------------------------------


def test_an_outcome_that_nobody_knows_is_told_as_such(
    loop: LoopOf, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        attempts = 0

        async def unknown(*_: Any, **__: Any) -> Any:
            nonlocal attempts
            attempts += 1
            raise OutcomeUnknown("the leader was lost")

        monkeypatch.setattr(api.store, "txn", unknown)
        answer = await api.json("POST", MAPS, config_map("unknown"))
        assert "may or may not have happened" in check(answer, 504, "Timeout")
        assert not from_status(msgspec.convert(answer.body, Status)).definite, "clients know it too"
        assert attempts == 1, "what may have happened is never sent again"

        async def busy(*_: Any, **__: Any) -> Any:
            raise TooManyRequests("too many")

        monkeypatch.setattr(api.store, "txn", busy)
        answer = await api.json("POST", MAPS, config_map("busy-store"))
        check(answer, 429, "TooManyRequests")
        assert answer.headers["Retry-After"]
        monkeypatch.undo()
        check(await api.json("GET", f"{MAPS}/unknown"), 404, "NotFound")

    loop.run(test())
