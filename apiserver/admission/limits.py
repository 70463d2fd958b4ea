"""How long a pod stays where its node is not ready: five minutes, unless the pod says otherwise.

Kubernetes' DefaultTolerationSeconds. LimitRange and ResourceQuota are kinds kmini does not have, so there is nothing
else to apply here.
"""

from __future__ import annotations

from typing import Any

from apiserver.api.core.scheduling import Toleration

from .plugin import Admission, Base, Lookup
from .pods import PODS

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
NO_EXECUTE = "NoExecute"
TOLERATED_S = 300


class DefaultTolerationSeconds(Base):
    name = "DefaultTolerationSeconds"

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        if request.resource.key != PODS or request.subresource or request.obj is None:
            return
        spec: Any = request.obj.spec
        for taint in (NOT_READY, UNREACHABLE):
            if not any(_covers(each, taint) for each in spec.tolerations):
                added = Toleration(key=taint, operator="Exists", effect=NO_EXECUTE, toleration_seconds=TOLERATED_S)
                spec.tolerations = [*spec.tolerations, added]


def _covers(toleration: Any, taint: str) -> bool:
    return toleration.key in ("", taint) and toleration.effect in ("", NO_EXECUTE)
