"""Probes of real containers, from the node to the pod's own network."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from container_agent import container
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from kmini.images import SAMPLE
from kubectl_shell import Shell
from pods_place import PodsPlace

#: What is no concern of a test: a machine that is busy for a while.
PATIENT = {"timeoutSeconds": 60, "failureThreshold": 100}
SERVER = {"name": "main", "image": SAMPLE, "ports": [{"name": "web", "containerPort": 8080}]}


def ready(place: PodsPlace, name: str) -> bool:
    conditions = {each["type"]: each["status"] for each in place.status(name).get("conditions", ())}
    return conditions.get("Ready") == "True"


def command(*words: str, **more: Any) -> dict[str, Any]:
    return {"exec": {"command": list(words)}, "periodSeconds": 1, "timeoutSeconds": 60} | more


class Health:
    port = 0
    serving = True


@contextmanager
def health_service() -> Iterator[Health]:
    """On the node itself, whose address is that of pods in its network."""
    health = Health()

    def answer(request: StringValue, context: grpc.ServicerContext) -> Int32Value:
        return Int32Value(value=1 if health.serving else 2)

    handler = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=StringValue.FromString, response_serializer=Int32Value.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    health.port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    try:
        yield health
    finally:
        server.stop(None).wait()


def test_a_pod_is_ready_once_its_server_answers(place: PodsPlace) -> None:
    web = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1} | PATIENT
    open_port = {"tcpSocket": {"port": 8080}, "periodSeconds": 1} | PATIENT
    probes = {"startupProbe": open_port, "livenessProbe": open_port, "readinessProbe": web}
    place.make("answers", SERVER | probes)
    place.until(lambda: ready(place, "answers"), "the pod is ready")
    assert place.container("answers")["restartCount"] == 0


def test_a_pod_without_an_answer_is_not_ready_and_says_why(place: PodsPlace) -> None:
    missing = {"httpGet": {"path": "/cgi-bin/none", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 60}
    closed = {"tcpSocket": {"port": 81}, "periodSeconds": 1}
    place.make("refuses", SERVER | {"readinessProbe": missing})
    place.make("closed", SERVER | {"readinessProbe": closed})
    place.has_event("refuses", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    address = place.runs("closed")["podIP"]
    words = f"Readiness probe failed: dial tcp {address}:81: connect: connection refused"
    place.has_event("closed", "Unhealthy", words)
    assert not ready(place, "refuses")
    assert not ready(place, "closed")


def test_a_container_that_is_not_alive_starts_anew(place: PodsPlace) -> None:
    script = "touch /alive; sleep 3; rm /alive; sleep 1000"
    liveness = command("cat", "/alive", failureThreshold=2)
    place.make("dies", container("main", script, livenessProbe=liveness))
    place.until(lambda: place.container("dies").get("restartCount", 0) >= 1, "a restart")
    place.has_event("dies", "Unhealthy", "Liveness probe failed: cat: can't open '/alive'")
    place.has_event("dies", "Killing", "Container main failed liveness probe, will be restarted")


def test_a_service_of_grpc_says_how_it_is(place: PodsPlace) -> None:
    with health_service() as service:
        grpc_probe = {"grpc": {"port": service.port}, "periodSeconds": 1, "timeoutSeconds": 60}
        place.make("serves", container("main", "sleep 1000", readinessProbe=grpc_probe), hostNetwork=True)
        place.until(lambda: ready(place, "serves"), "the pod is ready")
        service.serving = False
        place.until(lambda: not ready(place, "serves"), "the pod is ready no more")
        place.has_event("serves", "Unhealthy", 'service unhealthy (responded with "NOT_SERVING")')


def test_a_command_that_takes_too_long_has_failed(place: PodsPlace) -> None:
    place.make("slow", container("main", "sleep 1000", readinessProbe=command("sleep", "100", timeoutSeconds=1)))
    place.has_event("slow", "Unhealthy", 'command timed out: "sleep 100" timed out after 1s')
    assert not ready(place, "slow")


def test_nothing_is_asked_before_a_container_has_started(place: PodsPlace, shell: Shell) -> None:
    """It starts when it was asked whether it has for some times, and the test has looked."""
    startup = command("sh", "-c", "echo asked >> /asked; test -f /go", failureThreshold=1000)
    probes = {"startupProbe": startup, "readinessProbe": command("true"), "livenessProbe": command("touch", "/early")}
    wait = "touch /asked; until test -f /looked && test $(wc -l < /asked) -ge 4; do sleep 0.1; done"
    place.make("starts", container("main", f"{wait}; test -f /early && exit 9; touch /go; sleep 1000", **probes))
    place.runs("starts")
    assert place.container("starts")["started"] is False
    assert not ready(place, "starts")
    shell.ok("exec starts -- touch /looked")
    place.until(lambda: ready(place, "starts"), "the pod is ready")
    assert place.container("starts")["restartCount"] == 0
