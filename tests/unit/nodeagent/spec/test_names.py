"""Names of a pod, its hosts file, and the kernel's parameters that it may set."""

from __future__ import annotations

from typing import Any

import pytest
from spec_world import pod

from apiserver.api.core.pod import HostAlias
from nodeagent.house import NotYet
from nodeagent.spec.hosts import hosts_text, hosts_text_of_node
from nodeagent.spec.names import domain_of, kernel_name, short_name
from nodeagent.spec.sysctls import forbidden_sysctl, sysctls_of

DOMAIN = "cluster.local"


@pytest.mark.parametrize(
    ("name", "spec", "short", "domain", "kernel"),
    [
        ("web", {}, "web", "", "web"),
        ("web", {"hostname": "front"}, "front", "", "front"),
        ("web", {"subdomain": "sub"}, "web", "sub.shop.svc.cluster.local", "web"),
        (
            "web",
            {"subdomain": "sub", "setHostnameAsFQDN": True},
            "web",
            "sub.shop.svc.cluster.local",
            "web.sub.shop.svc.cluster.local",
        ),
        ("web", {"setHostnameAsFQDN": True}, "web", "", "web"),
        ("a" * 62 + "-b", {}, "a" * 62, "", "a" * 62),
        ("a" * 64, {}, "a" * 63, "", "a" * 63),
    ],
)
def test_names(name: str, spec: dict[str, Any], short: str, domain: str, kernel: str) -> None:
    wanted = pod(meta={"name": name}, **spec)
    assert (short_name(wanted), domain_of(wanted, DOMAIN), kernel_name(wanted, DOMAIN)) == (short, domain, kernel)


def test_a_full_name_that_the_kernel_does_not_take_is_said() -> None:
    with pytest.raises(NotYet, match=r"is too long \(64 characters is the max, 67 characters requested\)") as caught:
        kernel_name(pod(subdomain="s" * 40, setHostnameAsFQDN=True), DOMAIN)
    assert caught.value.event == "FailedCreatePodSandBox"


ALIASES = [HostAlias(ip="1.2.3.4", hostnames=["a", "b.test"]), HostAlias(ip="::5", hostnames=["c"])]


def test_the_hosts_file() -> None:
    text = hosts_text(["10.1.0.5", "fd00::5"], "web", "sub.shop.svc.cluster.local", ALIASES)
    lines = text.splitlines()
    assert lines[:2] == ["# Kubernetes-managed hosts file.", "127.0.0.1\tlocalhost"]
    assert lines[7:] == [
        "10.1.0.5\tweb.sub.shop.svc.cluster.local\tweb",
        "fd00::5\tweb.sub.shop.svc.cluster.local\tweb",
        "",
        "# Entries added by HostAliases.",
        "1.2.3.4\ta\tb.test",
        "::5\tc",
    ]
    assert text.endswith("\n")
    assert hosts_text(["10.1.0.5"], "web", "", []).splitlines()[-1] == "10.1.0.5\tweb"


def test_the_hosts_file_of_the_node() -> None:
    text = hosts_text_of_node("127.0.0.1 localhost\n192.0.2.7 node-1\n\n", ALIASES[:1])
    assert text.splitlines() == [
        "# Kubernetes-managed hosts file (host network).",
        "127.0.0.1 localhost",
        "192.0.2.7 node-1",
        "",
        "# Entries added by HostAliases.",
        "1.2.3.4\ta\tb.test",
    ]


def sysctl(name: str, **spec: Any) -> Any:
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("net.ipv4.tcp_syncookies", {}, ""),
        ("net/ipv4/tcp_syncookies", {}, ""),
        ("kernel.shm_rmid_forced", {"hostNetwork": True}, ""),
        ("kernel.msgmax", {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("vm.swappiness", {}, 'forbidden sysctl: "vm.swappiness" not allowlisted'),
        ("net/ipv4/conf/eth0.1/forwarding", {}, 'forbidden sysctl: "net.ipv4.conf.eth0/1.forwarding" not allowlisted'),
        (
            "net.ipv4.tcp_syncookies",
            {"hostNetwork": True},
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            "kernel.shm_rmid_forced",
            {"hostIPC": True},
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_sysctls(name: str, spec: dict[str, Any], words: str) -> None:
    assert forbidden_sysctl(sysctl(name, **spec)) == words


def test_they_are_told_with_dots() -> None:
    assert sysctls_of(sysctl("net/ipv4/tcp_syncookies")) == {"net.ipv4.tcp_syncookies": "1"}
    assert sysctls_of(pod()) == {}
