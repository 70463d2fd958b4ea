"""What a pod asks of its node, as Kubernetes counts it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import container_requests_of, requests_of


def pod(containers: list[dict[str, str]], init: list[dict[str, str]] | None = None, **spec: Any) -> Pod:
    """Each container by its requests; one with `sidecar` stays."""
    return msgspec.convert(
        {
            "spec": {
                "containers": list(map(_container, containers)),
                "initContainers": list(map(_container, init or [])),
                **spec,
            }
        },
        Pod,
    )


def _container(requests: dict[str, str]) -> dict[str, Any]:
    asked = {name: quantity for name, quantity in requests.items() if name != "sidecar"}
    stays = {"restartPolicy": "Always"} if "sidecar" in requests else {}
    return {"name": "c", "resources": {"requests": asked}, **stays}


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (pod([]), {}),
        (pod([{}]), {}),
        (pod([{"cpu": "100m", "memory": "1Ki"}, {"cpu": "1"}]), {"cpu": 1100, "memory": 1024}),
        (pod([{"cpu": "0.0001"}]), {"cpu": 1}),
        (pod([{"cpu": "1"}], [{"cpu": "3"}, {"cpu": "2"}]), {"cpu": 3000}),
        (pod([{"cpu": "4"}], [{"cpu": "3"}]), {"cpu": 4000}),
        (pod([{"cpu": "1"}], [{"cpu": "1", "sidecar": ""}]), {"cpu": 2000}),
        (pod([{"cpu": "1"}], [{"cpu": "1", "sidecar": ""}, {"cpu": "5"}]), {"cpu": 6000}),
        (pod([{"cpu": "1"}], [{"cpu": "5"}, {"cpu": "1", "sidecar": ""}]), {"cpu": 5000}),
        (pod([{"cpu": "1"}], [{"memory": "1"}]), {"cpu": 1000, "memory": 1}),
        (pod([{"cpu": "1"}], overhead={"cpu": "250m", "memory": "1"}), {"cpu": 1250, "memory": 1}),
        (pod([{"example.com/gpu": "2"}]), {"example.com/gpu": 2}),
    ],
)
def test_what_a_pod_asks_for(made: Pod, asked: dict[str, int]) -> None:
    assert requests_of(made) == asked | {"pods": 1}


def test_who_says_nothing_may_count_for_something() -> None:
    made = pod([{"cpu": "1"}, {"memory": "0"}], [{}])
    assert container_requests_of(made, least={"cpu": 100, "memory": 7}) == {"cpu": 1100, "memory": 7}
    assert container_requests_of(made, least={}) == {"cpu": 1000, "memory": 0}


def test_an_amount_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        requests_of(pod([{"cpu": "much"}]))
