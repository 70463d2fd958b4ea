"""Tokens of pods: bound to the pod, renewed in time, and still there while the API is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from volumes_world import VolumesWorld, run_volumes

from apiserver.api.authentication import TokenRequest
from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import ServiceAccountTokenProjection
from apiserver.api.errors import ApiError
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from nodeagent.house import NotYet
from nodeagent.volumes import tokens
from nodeagent.volumes.keeping import SYNC_S, TICK_S
from nodeagent.volumes.projected import ANSWER_WITHIN_S, ROOT_CA, user_of

HOUR = ServiceAccountTokenProjection(path="token", expiration_seconds=3600)


class Issuer:
    """Answers for the API server: a new token each time, of the life that was asked for or `life_s`."""

    def __init__(self, world: VolumesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, TokenRequest]] = []
        self.life_s = 0
        self._send = world.client.send
        monkeypatch.setattr(world.client, "send", self._answer)

    async def _answer(self, request: Request, **more: Any) -> Response:
        if not request.path.endswith("/token"):
            return await self._send(request, **more)
        assert request.body is not None
        wanted = msgspec.json.decode(request.body, type=TokenRequest)
        await self._send(Request(method="GET", path="/api/v1/namespaces/default"))  # meets the faults of all others
        self.asked.append((request.path, wanted))
        wanted.spec.expiration_seconds = self.life_s or wanted.spec.expiration_seconds
        wanted.status.token = f"hidden-{len(self.asked)}"
        return Response(201, {}, msgspec.json.encode(wanted))


def test_a_token_is_asked_for_once_for_this_very_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        issuer = Issuer(world, monkeypatch)
        pod = world.pod([], serviceAccountName="robot")
        wish = ServiceAccountTokenProjection(path="t", audience="vault", expiration_seconds=600)
        assert [await world.tokens.token(pod, wish) for _ in range(3)] == ["hidden-1"] * 3
        ((path, asked),) = issuer.asked
        assert path == "/api/v1/namespaces/default/serviceaccounts/robot/token"
        assert (asked.spec.audiences, asked.spec.expiration_seconds) == (["vault"], 600)
        bound = asked.spec.bound_object_ref
        assert bound is not None
        assert (bound.kind, bound.name, bound.uid) == ("Pod", "web", pod.metadata.uid)
        assert await world.tokens.token(pod, HOUR) == "hidden-2"

    run_volumes(tmp_path, story)


@pytest.mark.parametrize(("life_s", "renewed_after_s"), [(3600, 2880), (600, 480), (10 * 86400, 40000)])
def test_it_is_renewed_after_four_fifths_of_the_life_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, life_s: int, renewed_after_s: int
) -> None:
    async def story(world: VolumesWorld) -> None:
        monkeypatch.setattr(tokens, "RENEWED_AFTER_MAX_S", 40000.0)  # a day: longer than a test may take
        issuer = Issuer(world, monkeypatch)
        issuer.life_s = life_s
        pod = world.pod([])
        await world.tokens.token(pod, HOUR)
        await asyncio.sleep(renewed_after_s - 1)
        assert await world.tokens.token(pod, HOUR) == "hidden-1"
        await asyncio.sleep(2)
        assert await world.tokens.token(pod, HOUR) == "hidden-2"

    run_volumes(tmp_path, story)


def test_the_last_token_serves_while_it_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        pod = world.pod([])
        await world.tokens.token(pod, HOUR)
        world.api.faults.refused = 1.0
        await asyncio.sleep(3000)
        assert await world.tokens.token(pod, HOUR) == "hidden-1"
        await asyncio.sleep(600)
        with pytest.raises(ApiError):
            await world.tokens.token(pod, HOUR)

    run_volumes(tmp_path, story)


def test_a_running_pod_gets_the_new_one_before_the_old_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: VolumesWorld) -> None:
        issuer = Issuer(world, monkeypatch)
        source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
        pod = world.pod([{"name": "v", "projected": {"sources": [source]}}])
        mounts = await world.ready(pod)
        world.volumes.look(pod)
        file = Path(mounts["/v"].host_path) / "token"
        working = asyncio.create_task(world.keeper.run())
        try:
            await asyncio.sleep(470)
            assert file.read_text() == "hidden-1"
            await asyncio.sleep(10 + SYNC_S + TICK_S)
            assert file.read_text() == "hidden-2"
            await asyncio.sleep(3600)
            assert 6 <= len(issuer.asked) <= 9
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        await world.release(pod)
        assert world.tokens._tokens == {}

    run_volumes(tmp_path, story)


def test_tokens_are_in_no_log_and_no_repr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        pod = world.pod([])
        await world.tokens.token(pod, HOUR)
        assert "hidden" not in repr(world.tokens._tokens)
        world.api.faults.refused = 1.0
        await asyncio.sleep(3000)
        await world.tokens.token(pod, HOUR)
        assert "not renewed" in caplog.text
        assert "hidden" not in caplog.text

    run_volumes(tmp_path, story)


def user_pod(pod_user: int | None, *users: int | None) -> Pod:
    containers = [{"name": f"c{n}", "securityContext": {"runAsUser": user}} for n, user in enumerate(users)]
    body = {"spec": {"securityContext": {"runAsUser": pod_user}, "containers": containers}}
    return msgspec.convert(body, Pod)


@pytest.mark.parametrize(
    ("pod", "user"),
    [
        (user_pod(5, None, None), 5),
        (user_pod(5, 6, 6), 6),
        (user_pod(5, 6, None), None),
        (user_pod(None, 6, None), None),
        (user_pod(None, None), None),
        (user_pod(0, None), 0),
    ],
)
def test_the_user_of_a_token_is_that_of_all_containers(pod: Pod, user: int | None) -> None:
    assert user_of(pod) == user


@pytest.mark.parametrize(
    ("context", "owner"),
    [
        ({}, (0, 0, 0o644)),
        ({"runAsUser": 1000}, (1000, 0, 0o600)),
        ({"fsGroup": 2000}, (0, 2000, 0o640)),
        ({"runAsUser": 1000, "fsGroup": 2000}, (1000, 2000, 0o640)),
    ],
)
def test_a_token_is_for_its_user_alone_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: dict[str, int], owner: tuple[int, int, int]
) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        source = {"serviceAccountToken": {"path": "token"}}
        pod = world.pod([{"name": "v", "projected": {"sources": [source]}}], securityContext=context)
        found = (Path((await world.ready(pod))["/v"].host_path) / "token").stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == owner

    run_volumes(tmp_path, story)


TO_REACH_THE_API = [
    {"serviceAccountToken": {"path": "token"}},
    {"configMap": {"name": ROOT_CA}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
]


def test_who_starts_before_the_api_answers_has_its_token_once_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        world.config_map(ROOT_CA, ca="cluster")
        pod = world.pod([{"name": "v", "projected": {"sources": TO_REACH_THE_API}}])
        world.api.faults.refused = 1.0
        await world.ready(pod)
        world.volumes.look(pod)
        assert await world.shown(pod, "/v") == {"namespace": "default"}
        working = asyncio.create_task(world.keeper.run())
        await asyncio.sleep(2 * SYNC_S)
        assert await world.shown(pod, "/v") == {"namespace": "default"}
        world.api.heal()
        world.volumes.keep_only({pod.metadata.uid})
        await asyncio.sleep(1)
        assert await world.shown(pod, "/v") == {"namespace": "default", "token": "hidden-1", "ca": "cluster"}
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    run_volumes(tmp_path, story)


def test_nobody_waits_long_for_a_silent_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        pod = world.pod([{"name": "v", "projected": {"sources": TO_REACH_THE_API}}])
        world.api.faults.latency_s = (1000.0, 1000.0)
        began = asyncio.get_running_loop().time()
        await world.ready(pod)
        assert asyncio.get_running_loop().time() - began <= ANSWER_WITHIN_S

    run_volumes(tmp_path, story)


def test_what_is_a_pods_own_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        world.config_map("settings", a="1")
        own = {"configMap": {"name": "settings"}}
        pod = world.pod([{"name": "v", "projected": {"sources": [own, *TO_REACH_THE_API]}}])
        world.api.faults.refused = 1.0
        with pytest.raises(NotYet):
            await world.volumes.prepare(pod)

    run_volumes(tmp_path, story)


def test_while_the_api_is_known_a_pod_waits_for_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        Issuer(world, monkeypatch)
        pod = world.pod([{"name": "v", "projected": {"sources": TO_REACH_THE_API[:1]}}])
        world.volumes.keep_only({pod.metadata.uid})
        world.api.faults.refused = 1.0
        with pytest.raises(NotYet):
            await world.volumes.prepare(pod)

    run_volumes(tmp_path, story)


def test_a_token_that_comes_after_its_pod_went_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: VolumesWorld) -> None:
        issuer = Issuer(world, monkeypatch)
        pod = world.pod([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}])
        await world.ready(pod)
        world.volumes.look(pod)
        await asyncio.sleep(tokens.LIFETIME_S * tokens.RENEWED_AFTER)
        world.api.faults.latency_s = (5.0, 5.0)
        working = asyncio.create_task(world.keeper.run())
        await asyncio.sleep(TICK_S + 1)
        await world.release(pod)
        await asyncio.sleep(SYNC_S)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert len(issuer.asked) == 2, "it was on its way when the pod went"
        assert world.tokens._tokens == {}

    run_volumes(tmp_path, story)
