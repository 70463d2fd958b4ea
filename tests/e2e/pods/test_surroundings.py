"""What a container finds when it starts: its variables, names, hosts file, resolver; and with whom it shares what."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from container_agent import container
from pods_place import PodsPlace


def once(script: str, **more: Any) -> dict[str, Any]:
    return container("main", script, **more)


def test_variables(place: PodsPlace) -> None:
    place.create("configmaps", "surroundings", data={"COLOR": "blue", "size": "9"})
    place.create("secrets", "hidden", data={"TOKEN": base64.b64encode(b"s3cret").decode()})
    place.create("services", "my-db", spec={"ports": [{"name": "sql", "port": 5432}]})
    env: list[dict[str, Any]] = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "surroundings", "key": "size"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "TOKEN"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
        {"name": "WHO", "value": "$(NAME).$(APP) $$(NAME) $(NONE)"},
        {"name": "DB", "value": "$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT_SQL)"},
    ]
    place.make(
        "vars",
        once(
            "env; echo args $*",
            args=["--", "$(WHO)", "$$(WHO)"],
            env=env,
            envFrom=[{"prefix": "P_", "configMapRef": {"name": "surroundings"}}],
            resources={"limits": {"memory": "64Mi"}},
        ),
        restartPolicy="Never",
    )
    lines = place.said("vars")
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    status = place.status("vars")
    expected = {
        "NAME": "vars",
        "APP": "default",
        "NODE": place.host.name,
        "IP": status["podIP"],
        "LIMIT": "64",
        "SIZE": "9",
        "TOKEN": "s3cret",
        "P_COLOR": "blue",
        "WHO": "vars.default $(NAME) $(NONE)",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["DB"] == f"{found['MY_DB_SERVICE_HOST']}:5432"
    assert found["MY_DB_SERVICE_HOST"].startswith("10.96.")
    assert "GONE" not in found
    assert "args vars.default $(NAME) $(NONE) $(WHO)" in lines


def test_only_the_api_without_links(place: PodsPlace) -> None:
    place.create("services", "other", spec={"ports": [{"port": 80}]})
    place.make("plain", once("env"), enableServiceLinks=False, restartPolicy="Never")
    names = {line.partition("=")[0] for line in place.said("plain")}
    assert "KUBERNETES_SERVICE_HOST" in names
    assert not [each for each in names if each.startswith("OTHER_")]


def test_names_and_hosts(place: PodsPlace) -> None:
    place.make(
        "named",
        once("hostname; echo $HOSTNAME; cat /etc/hosts"),
        hostname="front",
        subdomain="shop",
        setHostnameAsFQDN=True,
        hostAliases=[{"ip": "192.0.2.9", "hostnames": ["old.test", "older.test"]}],
        restartPolicy="Never",
    )
    lines = place.said("named")
    full = "front.shop.default.svc.cluster.local"
    assert lines[:3] == [full, full, "# Kubernetes-managed hosts file."]
    assert f"{place.status('named')['podIP']}\t{full}\tfront" in lines
    assert lines[-1] == "192.0.2.9\told.test\tolder.test"


def test_the_clusters_names_first(place: PodsPlace) -> None:
    config = {"searches": ["more.test"], "options": [{"name": "ndots", "value": "3"}]}
    place.make("asks", once("cat /etc/resolv.conf"), dnsConfig=config, restartPolicy="Never")
    lines = place.said("asks")
    assert "nameserver 10.96.0.10" in lines
    (search,) = [line.split()[1:] for line in lines if line.startswith("search ")]
    assert search[:3] == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]
    assert search[-1] == "more.test"
    assert "options ndots:3" in lines


def test_somebody_elses_names_only(place: PodsPlace) -> None:
    config = {"nameservers": ["192.0.2.53"], "searches": ["corp.test"]}
    place.make("apart", once("cat /etc/resolv.conf"), dnsPolicy="None", dnsConfig=config, restartPolicy="Never")
    assert [line for line in place.said("apart") if line] == ["search corp.test", "nameserver 192.0.2.53"]


def test_the_nodes_own_names(place: PodsPlace) -> None:
    place.make("like-node", once("cat /etc/resolv.conf"), dnsPolicy="Default", restartPolicy="Never")
    of_node = [line for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver")]
    assert [line for line in place.said("like-node") if line.startswith("nameserver")] == of_node[:3]


def test_in_the_nodes_network(place: PodsPlace) -> None:
    script = "readlink /proc/self/ns/net; cat /etc/hosts; env | grep ^IP=; cat /etc/resolv.conf"
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    place.make(
        "near", once(script, env=env), hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet", restartPolicy="Never"
    )
    lines = place.said("near")
    status = place.status("near")
    assert lines[0] == os.readlink("/proc/thread-self/ns/net")
    assert "# Kubernetes-managed hosts file (host network)." in lines
    assert (status["podIP"], f"IP={status['podIP']}" in lines) == (status["hostIP"], True)
    assert "nameserver 10.96.0.10" in lines


def test_the_nodes_processes_and_queues(place: PodsPlace) -> None:
    script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc"
    of_node = [os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/ipc")]
    place.make("open", once(script), hostPID=True, hostIPC=True, restartPolicy="Never")
    assert place.said("open") == of_node
    place.make("closed", once(script), restartPolicy="Never")
    assert not set(place.said("closed")) & set(of_node)


def test_processes_of_one_pod_see_each_other(place: PodsPlace) -> None:
    look = "until ps | grep -q '[s]leep 4321'; do sleep 0.1; done; echo seen"
    place.make(
        "shared", once(look), container("other", "sleep 4321"), shareProcessNamespace=True, restartPolicy="Never"
    )
    assert place.said("shared") == ["seen"]


def test_kernel_parameters_of_its_own(place: PodsPlace) -> None:
    sysctls = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "77"}]
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    place.make("tuned", once(script), securityContext={"sysctls": sysctls}, restartPolicy="Never")
    assert place.said("tuned") == ["77"]
