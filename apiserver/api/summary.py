"""What an agent says that its node and pods use: the kubelet's `/stats/summary`, as far as it is made and read here.

Times are RFC 3339; what is not known is left out. `usageNanoCores` is a rate over some seconds before `time`.
"""

from __future__ import annotations

import msgspec

from .base import json_name


class _Part(msgspec.Struct, rename=json_name, omit_defaults=True, kw_only=True):
    """Of another agent there may be more: unknown fields are not looked at."""


class CpuStats(_Part):
    time: str = ""
    usage_nano_cores: int | None = None
    usage_core_nano_seconds: int | None = None


class MemoryStats(_Part):
    time: str = ""
    available_bytes: int | None = None
    usage_bytes: int | None = None
    working_set_bytes: int | None = None
    rss_bytes: int | None = None


class FsStats(_Part):
    time: str = ""
    available_bytes: int | None = None
    capacity_bytes: int | None = None
    used_bytes: int | None = None
    inodes_free: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None


class ContainerStats(_Part):
    name: str
    start_time: str = ""
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None


class PodReference(_Part):
    name: str
    namespace: str
    uid: str


class PodStats(_Part):
    """cpu and memory are those of its containers together."""

    pod_ref: PodReference
    start_time: str = ""
    containers: list[ContainerStats] = []
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None


class NodeStats(_Part):
    node_name: str
    start_time: str = ""
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    fs: FsStats | None = None


class Summary(_Part):
    """`window_seconds`, which the kubelet does not say: between the two looks that rates are made from."""

    node: NodeStats
    window_seconds: float = 0.0
    pods: list[PodStats] = []
