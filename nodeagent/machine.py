"""What a node is: its resources, addresses and system, read from the machine or made up for a simulated one."""

from __future__ import annotations

import os
import platform
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from apiserver.api.core.node import NodeSystemInfo

PODS_MAX = 110  # the kubelet's
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TEXT_BYTES_MAX = 1 << 20


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`capacity` and `reserved` are quantities by resource; what is not reserved is for pods. `addresses` are IPs, the
    first of each family counts. Without `node_port` (0) the node has no API. `annotations` are the Node's."""

    hostname: str
    capacity: Mapping[str, str]
    addresses: tuple[str, ...]
    reserved: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    node_port: int = 10250
    info: NodeSystemInfo


def this_machine(*, addresses: tuple[str, ...], labels: Mapping[str, str], folder: Path, node_port: int) -> Machine:
    """Reads /proc, /etc and the file system of `folder`. Blocking."""
    capacity = {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_kib()}Ki",
        "pods": str(PODS_MAX),
        "ephemeral-storage": f"{_storage_kib(folder)}Ki",
    }
    return Machine(
        hostname=socket.gethostname().lower(),
        capacity=capacity,
        addresses=addresses,
        labels=labels,
        node_port=node_port,
        info=system_info(),
    )


def system_info() -> NodeSystemInfo:
    return NodeSystemInfo(
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        operating_system="linux",
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def simulated(
    name: str, address: str, *, capacity: Mapping[str, str], labels: Mapping[str, str], boot_id: str = ""
) -> Machine:
    """The ids are the name's, so that a restart does not change them."""
    machine_id = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    info = NodeSystemInfo(
        machine_id=machine_id.hex,
        system_uuid=str(machine_id),
        boot_id=boot_id or str(machine_id),
        kernel_version="simulated",
        os_image="simulated",
        operating_system="linux",
        architecture="amd64",
    )
    return Machine(hostname=name, capacity=capacity, addresses=(address,), labels=labels, node_port=0, info=info)


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(_TEXT_BYTES_MAX).decode("utf-8", "replace").strip()
    except OSError:
        return ""  # not every machine has it, or shows it


def _memory_kib() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024


def _storage_kib(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // 1024


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"
