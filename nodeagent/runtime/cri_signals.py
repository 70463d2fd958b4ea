"""Stops a container by a signal of the pod's choice (`lifecycle.stopSignal`), over containerd's own tasks: its CRI half
knows only the signal that an image names."""

from __future__ import annotations

import logging
import re
import signal
from contextlib import suppress

from google.protobuf.empty_pb2 import Empty

from .gen.tasks_service_pb2 import KillRequest, WaitRequest, WaitResponse
from .interface import NotThere, RuntimeFailure, TookTooLong, Unavailable
from .rpc import Connection

log = logging.getLogger(__name__)

_TASKS = "/containerd.services.tasks.v1.Tasks/"
_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_FIRST_REAL_TIME, _REAL_TIME_MAX = 34, 30
_REAL_TIME = re.compile(r"SIGRT(MIN\+|MAX-)([0-9]{1,2})")
#: Kubernetes' names for what Python calls otherwise.
_OTHER_NAMES = {
    "SIGCLD": 17,
    "SIGPOLL": 29,
    "SIGUNUSED": 31,
    "SIGRTMIN": _FIRST_REAL_TIME,
    "SIGRTMAX": _FIRST_REAL_TIME + _REAL_TIME_MAX,
}


def signal_number(name: str) -> int:
    """Of Linux, where containers run; 0 when there is none of this name."""
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    real_time = _REAL_TIME.fullmatch(name)
    if real_time and int(real_time[2]) <= _REAL_TIME_MAX:
        distance = int(real_time[2]) if real_time[1] == "MIN+" else _REAL_TIME_MAX - int(real_time[2])
        return _FIRST_REAL_TIME + distance
    found = signal.Signals.__members__.get(name)
    return int(found) if found is not None else 0


async def end_by(connection: Connection, container_id: str, number: int, *, within_s: float) -> bool:
    """Send it, and wait for the end for so long. False when it could not be sent. Raises Unavailable."""
    request = KillRequest(container_id=container_id, signal=number)
    try:
        await connection.call(_TASKS + "Kill", request, Empty, headers=_NAMESPACE)
    except Unavailable:
        raise
    except RuntimeFailure as error:
        log.info("a signal was not sent", extra={"container": container_id, "error": error.message})
        return False
    with suppress(NotThere, TookTooLong):
        waiting = WaitRequest(container_id=container_id)
        await connection.call(_TASKS + "Wait", waiting, WaitResponse, within_s=within_s, headers=_NAMESPACE)
    return True
