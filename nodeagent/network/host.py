"""What the machine must do for pods, which it does not do unless told: pass packets on, let them through, and show
those that go over a bridge to the packet rules. Without the latter a pod gets no answer from a Service whose endpoint
is on its node.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from .firewall import let_pods_through
from .programs import ProgramFailed, run_program

log = logging.getLogger(__name__)

LOOK_S = 60.0
_SETTINGS = Path("/proc/sys/net")
_FORWARD = "ipv4/ip_forward"
_BRIDGED = "bridge/bridge-nf-call-iptables"
_MODULE = "br_netfilter"
_LOADED_WITHIN_S = 10.0


class HostSettings:
    """`run` until it is cancelled: others change such settings too. They stay when it ends."""

    def __init__(self, node: str, cluster_cidr: str, *, settings: Path = _SETTINGS, look_s: float = LOOK_S) -> None:
        self._node = node
        self._cluster_cidr = cluster_cidr
        self._settings = settings
        self._look_s = look_s
        self._told: str = ""

    async def run(self) -> None:
        while True:
            await self.ensure()
            await asyncio.sleep(self._look_s)

    async def ensure(self) -> bool:
        """Whether all is as it must be. What is not is told once."""
        problem = self._set(_FORWARD)
        if not problem:
            if not (self._settings / _BRIDGED).exists():
                await self._load()
            problem = self._set(_BRIDGED)
        problem = problem or await let_pods_through(self._node, self._cluster_cidr)
        if problem and problem != self._told:
            log.error("pods cannot reach everything: the machine is not set up for them", extra={"reason": problem})
        self._told = problem
        return not problem

    async def _load(self) -> None:
        with contextlib.suppress(ProgramFailed):  # the setting is still not there, which is told
            await run_program(("modprobe", _MODULE), timeout_s=_LOADED_WITHIN_S, answer_max=10_000)

    def _set(self, name: str) -> str:
        """What is wrong; "" when it is 1."""
        path = self._settings / name
        try:
            if path.read_text(encoding="ascii").strip() != "1":
                path.write_text("1", encoding="ascii")
                log.info("a setting of the kernel was changed", extra={"setting": str(path)})
        except FileNotFoundError:
            return f"{path} is not there: load the kernel module {_MODULE} (modprobe {_MODULE})"
        except OSError as error:
            return f"{path} cannot be set to 1: {error.strerror}"
        return ""
