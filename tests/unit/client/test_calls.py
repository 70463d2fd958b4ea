"""Who is asked, how often, and what the caller hears: fail-over and retry that never repeats a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from scripted_api import SERVERS, Answers, Time, answer_of, client_of, not_found

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from apiserver.api.errors import (
    ApiError,
    Conflict,
    Fenced,
    Forbidden,
    InternalError,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
)
from apiserver.api.meta import ObjectMeta, Status, StatusCause
from apiserver.client import Client, Unanswered, Unreachable
from apiserver.client.pods import bind, evict, scale
from apiserver.client.responses import Response
from apiserver.client.transport import TransportError

FINE = answer_of(ConfigMap(metadata=ObjectMeta(name="a", namespace="default", resource_version="7"), data={"k": "v"}))
NEVER_LEFT = TransportError("refused", sent=False)
MAY_HAVE_LEFT = TransportError("reset", sent=True)


def failed(error: ApiError, **headers: str) -> Response:
    return answer_of(error.status(), error.status_code, **headers)


NO_LEADER = failed(ServiceUnavailable("no leader", retry_after_s=1))


async def read(client: Client) -> Any:
    return await client.get(ConfigMap, "a")


async def write(client: Client) -> Any:
    return await client.create(ConfigMap(metadata=ObjectMeta(name="a")))


def run(
    action: Callable[[Client], Coroutine[Any, Any, Any]], *answers: Response | TransportError, time: Time | None = None
) -> tuple[Any, Answers]:
    """What comes of it, or the error, and what was asked."""
    transport = Answers(*answers)
    client = client_of(transport, time=time)

    async def act() -> Any:
        try:
            return await action(client)
        except ApiError as error:
            return error

    return asyncio.run(act()), transport


@pytest.mark.parametrize(
    "first",
    [
        NEVER_LEFT,
        MAY_HAVE_LEFT,
        NO_LEADER,
        failed(Timeout("slow", definite=False)),
        failed(TooManyRequests("busy", retry_after_s=1)),
    ],
)
def test_a_read_is_sent_again(first: Response | TransportError) -> None:
    found, transport = run(read, first, FINE)
    assert found.data == {"k": "v"}
    assert len(transport.asked) == 2


def test_a_server_that_failed_is_left_for_the_next() -> None:
    _, transport = run(read, NEVER_LEFT, NO_LEADER, FINE)
    assert [server for server, _ in transport.asked] == list(SERVERS)


def test_a_busy_server_is_waited_for_as_it_asks() -> None:
    time = Time()
    _, transport = run(read, failed(TooManyRequests("busy", retry_after_s=3)), FINE, time=time)
    assert [server for server, _ in transport.asked] == [SERVERS[0], SERVERS[0]]
    assert time.slept == [3.0]


@pytest.mark.parametrize(
    "first",
    [NEVER_LEFT, NO_LEADER, failed(TooManyRequests("busy", retry_after_s=1)), answer_of({}, 503, retry_after="2")],
)
def test_a_write_is_sent_again_when_it_was_certainly_not_done(first: Response | TransportError) -> None:
    found, transport = run(write, first, FINE)
    assert found.metadata.name == "a"
    assert len(transport.asked) == 2


@pytest.mark.parametrize(
    ("only", "error"),
    [
        (MAY_HAVE_LEFT, Unanswered),
        (failed(Timeout("slow")), Timeout),
        (failed(InternalError("defect")), InternalError),
        (answer_of({}, 503), ServiceUnavailable),  # of something in between, without Retry-After
        (answer_of({}, 502), ApiError),
    ],
)
def test_a_write_that_may_have_been_done_is_never_sent_again(
    only: Response | TransportError, error: type[ApiError]
) -> None:
    found, transport = run(write, only, FINE)
    assert isinstance(found, error)
    assert not found.definite
    assert len(transport.asked) == 1


@pytest.mark.parametrize("action", [read, write])
@pytest.mark.parametrize(
    "error", [Unauthorized(), Forbidden("no"), not_found("a"), Conflict("changed"), Fenced("late")]
)
def test_a_definite_no_is_the_answer(action: Any, error: ApiError) -> None:
    found, transport = run(action, failed(error), FINE)
    assert type(found) is type(error)
    assert found.definite
    assert found.message == error.message
    assert len(transport.asked) == 1


def test_when_nobody_can_be_reached_that_is_said_in_the_end() -> None:
    found, transport = run(write, *[NEVER_LEFT] * 20)
    assert isinstance(found, Unreachable)
    assert found.definite
    assert len(transport.asked) == 8


def test_the_time_limit_holds_over_all_tries() -> None:
    time = Time()
    client = client_of(Answers(*[failed(TooManyRequests("busy", retry_after_s=9))] * 9), time=time)
    with pytest.raises(TooManyRequests):
        asyncio.run(client.get(ConfigMap, "a"))
    assert time.now <= client.caller.options.timeout_s


def test_no_more_requests_than_allowed_are_in_flight() -> None:
    class Slow(Answers):
        now = most = 0

        async def send(self, *arguments: Any, **more: Any) -> Response:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return FINE

    async def act() -> int:
        transport = Slow()
        client = client_of(transport)
        await asyncio.gather(*(read(client) for _ in range(200)))
        return transport.most

    assert asyncio.run(act()) == 64


def test_a_fenced_client_says_so_with_writes_and_only_there() -> None:
    async def act(client: Client) -> None:
        fenced = client.fence("kube-system/scheduler", 3)
        await write(fenced)
        await read(fenced)
        await write(client)

    _, transport = run(act, FINE, FINE, FINE)
    said = [dict(request.headers).get("X-Kmini-Fence") for _, request in transport.asked]
    assert said == ["kube-system/scheduler/3", None, None]


def test_an_eviction_that_a_budget_forbids_is_not_sent_again() -> None:
    cause = StatusCause(reason="DisruptionBudget", message="needs 2 healthy pods")
    refusal = failed(TooManyRequests("no", causes=[cause], retry_after_s=10))
    found, transport = run(lambda client: evict(client, "web-1"), refusal)
    assert isinstance(found, TooManyRequests)
    assert transport.asked[0][1].path == "/api/v1/namespaces/default/pods/web-1/eviction"


def test_a_binding_names_pod_and_node() -> None:
    _, transport = run(lambda client: bind(client, "web-1", "n1", uid="u1"), answer_of(Status(status="Success"), 201))
    request = transport.asked[0][1]
    assert request.path.endswith("/pods/web-1/binding")
    assert b'"target":{"apiVersion":"v1","kind":"Node","name":"n1"}' in (request.body or b"")
    assert b'"uid":"u1"' in (request.body or b"")


def test_scaling_patches_the_scale() -> None:
    from apiserver.api.apps import Deployment

    answer = answer_of({"kind": "Scale", "spec": {"replicas": 3}, "status": {"replicas": 1}})
    found, transport = run(lambda client: scale(client, Deployment, "web", 3), answer)
    assert found.spec.replicas == 3
    assert transport.asked[0][1].method == "PATCH"
    assert transport.asked[0][1].path.endswith("/deployments/web/scale")


def test_a_change_is_made_again_on_what_somebody_else_wrote() -> None:
    async def act(client: Client) -> ConfigMap:
        return await client.change(ConfigMap, "a", lambda found: found.data.update(mine="yes"))

    _, transport = run(act, FINE, failed(Conflict("changed")), FINE, FINE)
    assert [request.method for _, request in transport.asked] == ["GET", "PUT", "GET", "PUT"]


def test_a_change_that_changes_nothing_sends_nothing() -> None:
    async def act(client: Client) -> ConfigMap:
        return await client.change(ConfigMap, "a", lambda found: None)

    _, transport = run(act, FINE)
    assert len(transport.asked) == 1


def test_a_change_is_not_repeated_once_fenced() -> None:
    async def act(client: Client) -> ConfigMap:
        return await client.change(ConfigMap, "a", lambda found: found.data.update(mine="yes"))

    found, _ = run(act, FINE, failed(Fenced("late")))
    assert isinstance(found, Fenced)


def test_a_list_reads_every_page() -> None:
    async def act(client: Client) -> list[str]:
        return [each.metadata.name async for each in client.list(ConfigMap, limit=1, labels={"app": "web"})]

    def page(name: str, token: str) -> Response:
        return answer_of(
            {"metadata": {"resourceVersion": "5", "continue": token}, "items": [{"metadata": {"name": name}}]}
        )

    found, transport = run(act, page("a", "t1"), page("b", ""))
    assert found == ["a", "b"]
    assert "continue=t1" in transport.asked[1][1].target
    assert all("labelSelector=app%3Dweb" in request.target for _, request in transport.asked)


def test_what_is_deleted_comes_back_only_while_it_is_there() -> None:
    ending = answer_of(
        Pod(api_version="v1", kind="Pod", metadata=ObjectMeta(name="a", deletion_grace_period_seconds=30))
    )
    found, _ = run(lambda client: client.delete(Pod, "a"), ending)
    assert found.metadata.deletion_grace_period_seconds == 30
    found, _ = run(lambda client: client.delete(Pod, "a"), answer_of(Status(status="Success")))
    assert found is None


def test_fields_of_a_newer_server_do_not_stop_an_older_client() -> None:
    answer = answer_of(
        {"kind": "ConfigMap", "metadata": {"name": "a", "newer": 1, "labels": None}, "newest": {"x": [1]}}
    )
    found, _ = run(read, answer)
    assert found.metadata.name == "a"


def test_an_answer_in_another_language_is_an_error_and_no_traceback() -> None:
    found, _ = run(read, Response(200, {}, b"<html>hello</html>"))
    assert isinstance(found, InternalError)
    assert "is no ConfigMap" in found.message


def test_an_error_page_of_something_in_between_is_quoted_in_short() -> None:
    found, _ = run(read, Response(404, {}, b"<html>" + b"x" * 5000))
    assert isinstance(found, NotFound)
    assert found.message.startswith("HTTP 404: <html>xxx")
    assert len(found.message) < 600
