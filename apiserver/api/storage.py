"""storage.k8s.io/v1: StorageClass, a kind of storage to choose by name."""

from __future__ import annotations

from .base import Object, StringMap, always
from .meta import TopObject


class TopologySelectorLabelRequirement(Object):
    """A label that nodes must have.

    key: Label of nodes.
    values: Values the label may have.
    """

    key: str = always("")
    values: list[str] = always([])


class TopologySelectorTerm(Object):
    """Nodes that have all of these labels.

    match_label_expressions: The labels.
    """

    match_label_expressions: list[TopologySelectorLabelRequirement] = []


class StorageClass(TopObject):
    """A kind of storage that claims choose by name. All but labels, annotations and expansion is fixed once created.

    provisioner: Who makes the volumes.
    parameters: Settings for the provisioner.
    reclaim_policy: Delete or Retain: what becomes of a volume that is let go.
    mount_options: Options the volumes are mounted with.
    allow_volume_expansion: True lets claims grow.
    volume_binding_mode: Immediate, or WaitForFirstConsumer to wait for a pod.
    allowed_topologies: Where volumes may be made.
    """

    provisioner: str = always("")
    parameters: StringMap = {}
    reclaim_policy: str | None = None
    mount_options: list[str] = []
    allow_volume_expansion: bool | None = None
    volume_binding_mode: str | None = None
    allowed_topologies: list[TopologySelectorTerm] = []
