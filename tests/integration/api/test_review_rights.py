"""Rights as requests meet them: no way of asking leads past the rule that was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import RunningApi, api_server

DEFAULT = "/api/v1/namespaces/default"
SECRETS = f"{DEFAULT}/secrets"
SERVICES = f"{DEFAULT}/services"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
GROUP = "rbac.authorization.k8s.io"


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


async def grant(api: RunningApi, user: str, **rule: list[str]) -> None:
    """`rule` as in a PolicyRule; of the core group when it names none."""
    rules = [{"apiGroups": [""], **rule}]
    reference = {"apiGroup": GROUP, "kind": "Role", "name": user}
    subject = {"apiGroup": GROUP, "kind": "User", "name": user}
    await api.create(f"{RBAC}/roles", {"metadata": {"name": user}, "rules": rules})
    binding = {"metadata": {"name": user}, "roleRef": reference, "subjects": [subject]}
    await api.create(f"{RBAC}/rolebindings", binding)


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "stringData": {"word": f"of {name}"}}


@pytest.mark.parametrize(
    "fields",
    ["metadata.name=a,metadata.name=b", "metadata.name=b,metadata.name==a"],
)
def test_a_selector_that_names_two_shows_neither(tmp_path: Path, fields: str) -> None:
    async def test(api: RunningApi) -> None:
        for name in ("a", "b"):
            await api.create(SECRETS, secret(name))
        await grant(
            api, "jane", resources=["secrets"], resourceNames=["a"], verbs=["list", "watch", "deletecollection"]
        )
        asked = f"{SECRETS}?fieldSelector={fields}"
        answer = await api.json("GET", f"{SECRETS}?fieldSelector=metadata.name=a", user="jane")
        assert [each["metadata"]["name"] for each in answer.body["items"]] == ["a"]
        answer = await api.json("GET", asked, user="jane")
        assert (answer.code, answer.body["items"]) == (200, [])
        answer = await api.json("GET", f"{asked}&watch=1&timeoutSeconds=1", user="jane")
        assert (answer.code, answer.body) == (200, b"")
        answer = await api.json("DELETE", asked, user="jane")
        assert (answer.code, answer.body["items"]) == (200, [])
        assert (await api.json("GET", f"{SECRETS}/b")).code == 200

    run(tmp_path, test)


def test_a_creation_has_no_name_in_its_path_and_a_change_has_one(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await grant(api, "jane", resources=["secrets"], resourceNames=["a"], verbs=["create"])
        answer = await api.json("POST", f"{SECRETS}/a", secret("other"), user="jane")
        assert (answer.code, answer.body["reason"]) == (405, "MethodNotAllowed")
        assert (await api.json("GET", f"{SECRETS}/other")).code == 404
        for method in ("PUT", "PATCH"):
            body = {"metadata": {"generateName": "a"}, "spec": {"ports": [{"port": 80}]}}
            answer = await api.json(method, SERVICES, body, headers={"Content-Type": "application/json"})
            assert (answer.code, answer.body["reason"]) == (405, "MethodNotAllowed")

    run(tmp_path, test)


def service(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def test_an_update_that_creates_needs_the_right_to_create(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await grant(api, "jane", resources=["services"], verbs=["update"])
        await grant(api, "john", resources=["services"], verbs=["update", "create"])
        answer = await api.json("PUT", f"{SERVICES}/new", service("new"), user="jane")
        assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
        assert 'cannot create resource "services"' in answer.body["message"]
        assert (await api.json("PUT", f"{SERVICES}/new", service("new"), user="john")).code == 201
        assert (await api.json("PUT", f"{SERVICES}/new", service("new"), user="jane")).code == 200

    run(tmp_path, test)


def test_nobodys_body_is_read(tmp_path: Path) -> None:
    """The native API finds the namespace in the body: for a stranger it does not even wait for one."""

    async def test(api: RunningApi) -> None:
        reader, writer = await asyncio.open_connection(api.host, api.port, ssl=api.tls(""), server_hostname=api.host)
        writer.write(b"POST /api/v1alpha1/pods HTTP/1.1\r\nHost: api\r\nContent-Length: 3000000\r\n\r\n{")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        writer.close()

    run(tmp_path, test)
