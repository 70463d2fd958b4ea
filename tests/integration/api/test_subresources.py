"""Subresources that are asked for, not written: ephemeral containers and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from api_server import RunningApi, api_server

PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "app", "image": "app:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def debugger(name: str, image: str = "debug:1") -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [{"name": name, "image": image, "stdin": True}]}}


def test_ephemeral_containers_come_and_never_go(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        path = f"{PODS}/a/ephemeralcontainers"
        await api.create(PODS, pod("a"))
        answer = await api.json("PATCH", path, debugger("one"), headers=STRATEGIC)
        assert answer.code == 200, answer
        assert [each["name"] for each in answer.body["spec"]["ephemeralContainers"]] == ["one"]
        answer = await api.json("PATCH", path, debugger("two"), headers=STRATEGIC)
        assert sorted(each["name"] for each in answer.body["spec"]["ephemeralContainers"]) == ["one", "two"]
        there = (await api.json("GET", path)).body
        assert there == (await api.json("GET", f"{PODS}/a")).body

        changed = await api.json("PATCH", path, debugger("one", "debug:2"), headers=STRATEGIC)
        assert changed.code == 422
        assert changed.body["details"]["causes"][0]["field"] == "spec.ephemeralContainers"
        assert 'containers "one" may not be changed' in changed.body["message"]
        removed = await api.json("PUT", path, {**there, "spec": {**there["spec"], "ephemeralContainers": []}})
        assert removed.code == 422
        assert [each["message"] for each in removed.body["details"]["causes"]] == [
            f'Forbidden: existing ephemeral containers "{name}" may not be removed'
            for name in [each["name"] for each in there["spec"]["ephemeralContainers"]]
        ]

    run(tmp_path, test)


def test_nothing_but_ephemeral_containers_changes_there(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await api.create(PODS, pod("a"))
        given = pod("a", labels={"not": "taken"})
        given["spec"]["containers"][0]["image"] = "app:2"
        given["spec"]["ephemeralContainers"] = [{"name": "one", "image": "debug:1", "targetContainerName": "app"}]
        answer = await api.json("PUT", f"{PODS}/a/ephemeralcontainers", given)
        assert answer.code == 200, answer
        assert "labels" not in answer.body["metadata"]
        assert answer.body["spec"]["containers"][0]["image"] == "app:1"

        answer = await api.json("PATCH", f"{PODS}/a/ephemeralcontainers", debugger("app"), headers=STRATEGIC)
        assert answer.code == 422, "the names of containers are one's own"
        answer = await api.json("PUT", f"{PODS}/a/ephemeralcontainers", {**given, "metadata": {"name": "b"}})
        assert answer.code == 400
        mirror = {"kubernetes.io/config.mirror": "x"}
        await api.create(PODS, {**pod("m", annotations=mirror), "spec": {**pod("m")["spec"], "nodeName": "n1"}})
        answer = await api.json("PATCH", f"{PODS}/m/ephemeralcontainers", debugger("one"), headers=STRATEGIC)
        assert (answer.code, "static pods do not support" in answer.body["message"]) == (422, True)

    run(tmp_path, test)


def test_a_token_is_asked_for_in_the_name_of_its_account(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        path = f"{ACCOUNTS}/default/token"
        made = await api.json("POST", path, {"spec": {}})
        assert made.code == 201, made
        account = (await api.json("GET", f"{ACCOUNTS}/default")).body
        for field in ("name", "namespace", "uid"):
            assert made.body["metadata"][field] == account["metadata"][field]
        assert (await api.json("POST", path, {"metadata": {"uid": account["metadata"]["uid"]}})).code == 201
        other = await api.json("POST", path, {"metadata": {"uid": "another"}})
        assert (other.code, other.body["reason"]) == (409, "Conflict")
        assert "the UID in the token request (another) does not match" in other.body["message"]

    run(tmp_path, test)


def test_a_node_gets_tokens_for_its_pods_alone(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        path = f"{ACCOUNTS}/default/token"
        mine = {**pod("mine"), "spec": {**pod("mine")["spec"], "nodeName": "n1"}}
        other = {**pod("other"), "spec": {**pod("other")["spec"], "nodeName": "n2"}}
        uids = {each["metadata"]["name"]: (await api.create(PODS, each))["metadata"]["uid"] for each in (mine, other)}

        async def ask(name: str, uid: str) -> int:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
            body = {"spec": {"boundObjectRef": reference}}
            return (await api.json("POST", path, body, user="system:node:n1", groups=["system:nodes"])).code

        assert await ask("mine", uids["mine"]) == 201
        assert await ask("mine", "") == 403
        assert await ask("other", uids["other"]) == 403
        unbound = await api.json("POST", path, {"spec": {}}, user="system:node:n1", groups=["system:nodes"])
        assert unbound.code == 403
        assert "node requested token not bound to a pod" in unbound.body["message"]

    run(tmp_path, test)
