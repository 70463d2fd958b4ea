"""What a pod is told of itself."""

from __future__ import annotations

import pytest
from spec_world import container, pod

from apiserver.api.core.containers import ResourceFieldSelector
from nodeagent.spec.fields import Place, field_value, lines_of, resource_value

PLACE = Place(
    host_ips=("192.0.2.7", "fd00::7"),
    pod_ips=("10.1.0.5", "fd01::5"),
    allocatable={"cpu": "3500m", "memory": "8Gi", "ephemeral-storage": "1Gi"},
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "front"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['team.example/it's']", "ours"),
        ("metadata.labels", 'app="front"\ntier="1"'),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "seller"),
        ("status.hostIP", "192.0.2.7"),
        ("status.hostIPs", "192.0.2.7,fd00::7"),
        ("status.podIP", "10.1.0.5"),
        ("status.podIPs", "10.1.0.5,fd01::5"),
    ],
)
def test_fields(path: str, value: str) -> None:
    meta = {"labels": {"tier": "1", "app": "front"}, "annotations": {"team.example/it's": "ours"}}
    assert field_value(pod(meta=meta), path, PLACE) == value


def test_no_such_field() -> None:
    with pytest.raises(ValueError, match=r"unsupported fieldPath: spec\.tolerations"):
        field_value(pod(), "spec.tolerations", PLACE)


def test_a_value_never_breaks_its_line() -> None:
    assert lines_of({"a": 'x"\n\\\t\x00\x7fé\u2028\U0010ffff'}) == 'a="x\\"\\n\\\\\\t\\x00\\x7fé\\u2028\\U0010ffff"'


def ask(resource: str, divisor: str = "0", name: str = "") -> str:
    main = container(
        resources={"limits": {"memory": "100Mi", "cpu": "1500m"}, "requests": {"memory": "50Mi", "cpu": "250m"}}
    )
    other = container("other")
    ref = ResourceFieldSelector(container_name=name, resource=resource, divisor=divisor)
    return resource_value(pod(main, other), main, ref, PLACE)


@pytest.mark.parametrize(
    ("resource", "divisor", "name", "value"),
    [
        ("limits.cpu", "0", "", "2"),
        ("limits.cpu", "1m", "", "1500"),
        ("requests.cpu", "1", "", "1"),
        ("requests.memory", "0", "", "52428800"),
        ("limits.memory", "1Mi", "", "100"),
        ("limits.memory", "1Gi", "", "1"),
        ("limits.cpu", "1m", "other", "3500"),
        ("limits.memory", "1Gi", "other", "8"),
        ("requests.memory", "1Mi", "other", "0"),
        ("limits.ephemeral-storage", "1Mi", "", "1024"),
        ("limits.hugepages-2Mi", "1", "", "0"),
    ],
)
def test_resources(resource: str, divisor: str, name: str, value: str) -> None:
    assert ask(resource, divisor, name) == value


@pytest.mark.parametrize(("resource", "name"), [("cpu", ""), ("usage.cpu", ""), ("limits.cpu", "none")])
def test_no_such_resource(resource: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"unsupported container resource|not found"):
        ask(resource, name=name)
