"""core/v1: on which nodes a pod may run, and on which it would rather run."""

from __future__ import annotations

import msgspec

from apiserver.api.base import Int32, Int64, Object, always
from apiserver.api.meta import LabelSelector


class NodeSelectorRequirement(Object):
    """One condition on a node.

    key: Label, or field, the condition is about.
    operator: In, NotIn, Exists, DoesNotExist, Gt or Lt.
    values: Values to compare with; one number for Gt and Lt, none for Exists and DoesNotExist.
    """

    key: str = always("")
    operator: str = always("")
    values: list[str] = []


class NodeSelectorTerm(Object):
    """Conditions that must all hold; a term without any matches no node.

    match_expressions: Conditions on labels.
    match_fields: Conditions on fields; only metadata.name is known.
    """

    match_expressions: list[NodeSelectorRequirement] = []
    match_fields: list[NodeSelectorRequirement] = []


class NodeSelector(Object):
    """Selects nodes for which at least one term holds.

    node_selector_terms: The terms.
    """

    node_selector_terms: list[NodeSelectorTerm] = always([])


class PreferredSchedulingTerm(Object):
    """A wish for certain nodes.

    weight: How strong the wish is, from 1 to 100.
    preference: Nodes that are wished for.
    """

    weight: Int32 = always(0)
    preference: NodeSelectorTerm = msgspec.field(default_factory=NodeSelectorTerm)


class NodeAffinity(Object):
    """Which nodes a pod must or would like to run on.

    required_during_scheduling_ignored_during_execution: Nodes a pod must be scheduled to.
    preferred_during_scheduling_ignored_during_execution: Nodes a pod would like to be scheduled to.
    """

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredSchedulingTerm] = []


class PodAffinityTerm(Object):
    """Other pods, and how near they are: nodes with the same value of a label count as one place.

    label_selector: Pods that are meant; none when absent.
    namespaces: Namespaces those pods are in; with namespace_selector both count.
    topology_key: Label of nodes that tells places apart.
    namespace_selector: Namespaces by their labels; an empty selector means all.
    match_label_keys: Labels whose values are taken from the new pod and must be equal.
    mismatch_label_keys: Labels whose values are taken from the new pod and must differ.
    """

    label_selector: LabelSelector | None = None
    namespaces: list[str] = []
    topology_key: str = always("")
    namespace_selector: LabelSelector | None = None
    match_label_keys: list[str] = []
    mismatch_label_keys: list[str] = []


class WeightedPodAffinityTerm(Object):
    """A wish to be near or far from other pods.

    weight: How strong the wish is, from 1 to 100.
    pod_affinity_term: The pods and the place.
    """

    weight: Int32 = always(0)
    pod_affinity_term: PodAffinityTerm = msgspec.field(default_factory=PodAffinityTerm)


class PodAffinity(Object):
    """Pods that this one must or would like to be near.

    required_during_scheduling_ignored_during_execution: What must hold when the pod is scheduled.
    preferred_during_scheduling_ignored_during_execution: What is wished for when the pod is scheduled.
    """

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []


class PodAntiAffinity(Object):
    """Pods that this one must or would like to be away from.

    required_during_scheduling_ignored_during_execution: What must hold when the pod is scheduled.
    preferred_during_scheduling_ignored_during_execution: What is wished for when the pod is scheduled.
    """

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []


class Affinity(Object):
    """Where a pod must or would like to be scheduled.

    node_affinity: By nodes.
    pod_affinity: Near other pods.
    pod_anti_affinity: Away from other pods.
    """

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class Toleration(Object):
    """Lets a pod onto nodes with a matching taint.

    key: Key of the taint; empty with Exists matches every taint.
    operator: Equal (when empty) or Exists.
    value: Value of the taint; empty with Exists.
    effect: NoSchedule, PreferNoSchedule or NoExecute; empty matches all effects.
    toleration_seconds: Seconds a NoExecute taint is tolerated; for ever when absent.
    """

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: Int64 | None = None


class TopologySpreadConstraint(Object):
    """How evenly matching pods are spread over places.

    max_skew: How many more pods one place may have than the emptiest.
    topology_key: Label of nodes that tells places apart.
    when_unsatisfiable: DoNotSchedule or ScheduleAnyway.
    label_selector: Pods that are counted.
    min_domains: Fewest places there should be; with fewer the emptiest counts as having no pods.
    node_affinity_policy: Honor or Ignore: whether nodes the pod's affinity excludes are counted.
    node_taints_policy: Honor or Ignore: whether nodes with taints the pod does not tolerate are left out.
    match_label_keys: Labels whose values are taken from the new pod to select the pods that are counted.
    """

    max_skew: Int32 = always(0)
    topology_key: str = always("")
    when_unsatisfiable: str = always("")
    label_selector: LabelSelector | None = None
    min_domains: Int32 | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: list[str] = []


class PodSchedulingGate(Object):
    """A reason not to schedule a pod yet; it is scheduled once no gate is left.

    name: Name of the gate.
    """

    name: str = always("")
