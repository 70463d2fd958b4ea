"""autoscaling/v1: Scale, the number of pods of whatever has one. Never stored."""

from __future__ import annotations

import msgspec

from .base import Int32, Object, always
from .meta import TopObject


class ScaleSpec(Object):
    """The wish.

    replicas: Number of pods.
    """

    replicas: Int32 = 0


class ScaleStatus(Object):
    """What is there.

    replicas: Pods that are there.
    selector: Label selector of the pods, as text.
    """

    replicas: Int32 = always(0)
    selector: str = ""


class Scale(TopObject):
    """The number of pods of an object, for those who scale without knowing more of it: its scale subresource.

    spec: The wish.
    status: What is there.
    """

    spec: ScaleSpec = msgspec.field(default_factory=ScaleSpec)
    status: ScaleStatus = msgspec.field(default_factory=ScaleStatus)
