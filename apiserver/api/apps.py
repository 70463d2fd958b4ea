"""apps/v1: Deployment and ReplicaSet, which keep a number of like pods running."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .base import Int32, Int64, IntOrString, Object, Time, always, merge_by, retain_keys
from .core.pod import PodTemplateSpec
from .meta import LabelSelector, TopObject


class RollingUpdateDeployment(Object):
    """How far a rolling update may stray from the wished number of pods.

    max_unavailable: Pods that may be missing: a number, or a percentage rounded down.
    max_surge: Pods that may be too many: a number, or a percentage rounded up.
    """

    max_unavailable: IntOrString | None = None
    max_surge: IntOrString | None = None


class DeploymentStrategy(Object):
    """How old pods give way to new ones.

    type: RollingUpdate replaces them little by little; Recreate ends all old ones first.
    rolling_update: Bounds of a rolling update.
    """

    type: str = ""
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Object):
    """The wish: how many pods, and what they are.

    replicas: Number of pods; 1 when left out.
    selector: Which pods belong to the Deployment; must match the template's labels and cannot be changed.
    template: What the pods are.
    strategy: How old pods give way to new ones.
    min_ready_seconds: Seconds a pod must be ready before it counts as available.
    revision_history_limit: Old ReplicaSets to keep for going back; 10 when left out.
    paused: True holds back the roll-out of changes.
    progress_deadline_seconds: Seconds without progress after which a roll-out counts as failed; 600 when left out.
    """

    replicas: Int32 | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)
    strategy: Annotated[DeploymentStrategy, retain_keys()] = msgspec.field(default_factory=DeploymentStrategy)
    min_ready_seconds: Int32 = 0
    revision_history_limit: Int32 | None = None
    paused: bool = False
    progress_deadline_seconds: Int32 | None = None


class DeploymentCondition(Object):
    """One aspect of a Deployment's state.

    type: Available, Progressing or ReplicaFailure.
    status: True, False or Unknown.
    last_update_time: When the condition was written last.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    last_update_time: Time | None = None
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class DeploymentStatus(Object):
    """What is there.

    observed_generation: Generation the controller has seen.
    replicas: Pods that belong to the Deployment.
    updated_replicas: Pods of the newest template.
    ready_replicas: Pods that are ready.
    available_replicas: Pods that have been ready for minReadySeconds.
    unavailable_replicas: Pods that are missing to the full number available.
    terminating_replicas: Pods that are about to end.
    conditions: State of the Deployment, aspect by aspect.
    collision_count: Counts clashes of names of ReplicaSets.
    """

    observed_generation: Int64 = 0
    replicas: Int32 = 0
    updated_replicas: Int32 = 0
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0
    unavailable_replicas: Int32 = 0
    terminating_replicas: Int32 | None = None
    conditions: Annotated[list[DeploymentCondition], merge_by("type")] = []
    collision_count: Int32 | None = None


class Deployment(TopObject):
    """Keeps a number of like pods running, and replaces them in good order when they are to change.

    spec: How many pods, and what they are.
    status: What is there.
    """

    spec: DeploymentSpec = msgspec.field(default_factory=DeploymentSpec)
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)


class ReplicaSetSpec(Object):
    """The wish: how many pods, and what they are.

    replicas: Number of pods; 1 when left out.
    min_ready_seconds: Seconds a pod must be ready before it counts as available.
    selector: Which pods belong to the ReplicaSet; must match the template's labels and cannot be changed.
    template: What the pods are.
    """

    replicas: Int32 | None = None
    min_ready_seconds: Int32 = 0
    selector: LabelSelector | None = None
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


class ReplicaSetCondition(Object):
    """One aspect of a ReplicaSet's state.

    type: ReplicaFailure.
    status: True, False or Unknown.
    last_transition_time: When the status changed last.
    reason: One word for programs.
    message: A sentence for people.
    """

    type: str = always("")
    status: str = always("")
    last_transition_time: Time | None = None
    reason: str = ""
    message: str = ""


class ReplicaSetStatus(Object):
    """What is there.

    replicas: Pods that belong to the ReplicaSet.
    fully_labeled_replicas: Pods that have all labels of the template.
    ready_replicas: Pods that are ready.
    available_replicas: Pods that have been ready for minReadySeconds.
    terminating_replicas: Pods that are about to end.
    observed_generation: Generation the controller has seen.
    conditions: State of the ReplicaSet, aspect by aspect.
    """

    replicas: Int32 = always(0)
    fully_labeled_replicas: Int32 = 0
    ready_replicas: Int32 = 0
    available_replicas: Int32 = 0
    terminating_replicas: Int32 | None = None
    observed_generation: Int64 = 0
    conditions: Annotated[list[ReplicaSetCondition], merge_by("type")] = []


class ReplicaSet(TopObject):
    """Keeps a number of like pods running.

    spec: How many pods, and what they are.
    status: What is there.
    """

    spec: ReplicaSetSpec = msgspec.field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)
