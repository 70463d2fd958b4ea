"""Which ReplicaSet is the new one, which revision each is, and which old ones are kept. No I/O.

What must hold: the new ReplicaSet has the highest revision, no two have the same, and there is one for each template.
Annotations are Kubernetes': kubectl rollout history and undo read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from apiserver.api.apps import Deployment, ReplicaSet, ReplicaSetSpec
from apiserver.api.meta import LabelSelector, ObjectMeta
from controlplane.controllers.claims import reference_to

from .scaling import DESIRED_REPLICAS, MAX_REPLICAS, notes
from .template_hash import HASH_CHARACTERS, HASH_LABEL, same_template, template_hash, with_hash
from .view import View, by_age, is_observed, size

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
HISTORY_CHARACTERS_MAX = 2000
_NAME_CHARACTERS_MAX = 253
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
}


def view_of(deployment: Deployment, found: Iterable[ReplicaSet]) -> View:
    """Of several ReplicaSets with the Deployment's template the oldest is the new one."""
    ordered = by_age(found)
    new = next((each for each in ordered if same_template(each.spec.template, deployment.spec.template)), None)
    return View(deployment, new, [each for each in ordered if each is not new])


def revision_of(found: ReplicaSet) -> int:
    """0 for one that has none."""
    text = found.metadata.annotations.get(REVISION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def next_revision(view: View) -> int:
    """What the new ReplicaSet must have at least."""
    return max(map(revision_of, view.old), default=0) + 1


def annotations_of_new(view: View) -> dict[str, str]:
    """The annotations that the new ReplicaSet lacks, or has with other values. Empty when all is as it should be."""
    present = {} if view.new is None else view.new.metadata.annotations
    wanted = {key: value for key, value in view.deployment.metadata.annotations.items() if key not in _NOT_COPIED}
    revision = next_revision(view)
    known = 0 if view.new is None else revision_of(view.new)
    if known < revision:
        wanted[REVISION] = str(revision)
        if REVISION in present:  # back to an earlier one: it keeps the numbers it had
            wanted[REVISION_HISTORY] = _history(present.get(REVISION_HISTORY, ""), present[REVISION])
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _history(history: str, revision: str) -> str:
    """The oldest numbers are dropped when it grows too long."""
    numbers = [*(history.split(",") if history else ()), revision]
    while len(numbers) > 1 and sum(len(number) + 1 for number in numbers) - 1 > HISTORY_CHARACTERS_MAX:
        del numbers[0]
    return ",".join(numbers)


def new_replica_set(view: View, replicas: int) -> ReplicaSet:
    """The ReplicaSet of the Deployment's template, to be created."""
    deployment = view.deployment
    spec = deployment.spec
    hash_ = template_hash(spec.template, deployment.status.collision_count or 0)
    template = with_hash(spec.template, hash_)
    selector = spec.selector or LabelSelector()
    selector = msgspec.structs.replace(selector, match_labels=selector.match_labels | {HASH_LABEL: hash_})
    name = deployment.metadata.name[: _NAME_CHARACTERS_MAX - HASH_CHARACTERS - 1]
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{name}-{hash_}",
            namespace=deployment.metadata.namespace,
            labels=template.metadata.labels,
            annotations=annotations_of_new(view) | notes(view),
            owner_references=[reference_to(deployment)],
        ),
        spec=ReplicaSetSpec(
            replicas=replicas, min_ready_seconds=spec.min_ready_seconds, selector=selector, template=template
        ),
    )


def to_forget(view: View) -> Sequence[ReplicaSet]:
    """Old ReplicaSets beyond revisionHistoryLimit, lowest revision first. One that has or may have pods stays."""
    limit = view.deployment.spec.revision_history_limit
    alive = [each for each in view.old if each.metadata.deletion_timestamp is None]
    if limit is None or len(alive) <= limit:
        return ()
    alive.sort(key=lambda each: (revision_of(each), each.metadata.creation_timestamp or ""))
    return [
        each
        for each in alive[: len(alive) - limit]
        if size(each) == 0 and each.status.replicas == 0 and is_observed(each)
    ]
