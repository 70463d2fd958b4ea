"""Which ReplicaSet is new, which revision each is, what it is called, and which are kept: no I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from deployment_views import sized, view, wish

from apiserver.api.core.pod import PodTemplateSpec
from controlplane.controllers.claims import controller_of
from controlplane.controllers.deployment.revisions import (
    HISTORY_CHARACTERS_MAX,
    REVISION,
    REVISION_HISTORY,
    annotations_of_new,
    new_replica_set,
    next_revision,
    revision_of,
    to_forget,
    view_of,
)
from controlplane.controllers.deployment.template_hash import HASH_LABEL, same_template, template_hash, with_hash


def changed(template: PodTemplateSpec, **labels: str) -> PodTemplateSpec:
    return msgspec.structs.replace(template, metadata=msgspec.structs.replace(template.metadata, labels=labels))


# --- hashes ---------------------------------------------------------------------------------------------


def test_the_same_template_has_the_same_hash_whatever_the_order_of_its_labels() -> None:
    template = wish(1).spec.template
    assert template_hash(changed(template, a="1", b="2")) == template_hash(changed(template, b="2", a="1"))
    assert template_hash(changed(template, a="1")) != template_hash(changed(template, a="2"))


def test_the_hash_is_what_it_was_in_earlier_versions() -> None:
    """Rollbacks find ReplicaSets by template, but names that jump with every upgrade would help nobody."""
    assert template_hash(wish(1).spec.template) == "s5thr2vjgs"
    assert template_hash(wish(1).spec.template, 1) == "qngx9stsc9"


def test_the_hash_label_is_no_part_of_what_is_compared() -> None:
    template = wish(1).spec.template
    labelled = with_hash(template, "abc")
    assert labelled.metadata.labels[HASH_LABEL] == "abc"
    assert same_template(template, labelled)
    assert template_hash(template) == template_hash(labelled)
    assert HASH_LABEL not in template.metadata.labels


@pytest.mark.parametrize("part", ["image", "annotations"])
def test_another_template_is_another_one(part: str) -> None:
    one, other = wish(1).spec.template, wish(1).spec.template
    if part == "image":
        other.spec.containers[0].image = "app:2"
    else:
        other.metadata.annotations["kubectl.kubernetes.io/restartedAt"] = "now"
    assert not same_template(one, other)
    assert template_hash(one) != template_hash(other)


# --- which is which -------------------------------------------------------------------------------------


def test_the_new_one_has_the_template_and_is_the_oldest_of_them() -> None:
    twins = [sized("young", 1, age=1), sized("old", 1, age=9)]
    others = [sized("x", 1, image="app:2", age=5), sized("y", 1, image="app:3", age=7)]
    found = view_of(wish(3), [*twins, *others])
    assert found.new is twins[1]
    assert [each.metadata.name for each in found.old] == ["y", "x", "young"]


def test_there_may_be_no_new_one() -> None:
    assert view_of(wish(3), [sized("x", 1, image="app:2")]).new is None


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("", 0), ("x", 0), ("-3", 0), ("9" * 30, 0), ("٣", 0)])
def test_what_is_no_revision_counts_as_none(text: str, number: int) -> None:
    assert revision_of(sized("a", 1, revision=text)) == number


def test_the_next_revision_is_one_more_than_the_highest_old_one() -> None:
    assert next_revision(view(wish(1), None)) == 1
    assert next_revision(view(wish(1), None, sized("a", 1, revision="9"), sized("b", 1, revision="10"))) == 11


# --- annotations ----------------------------------------------------------------------------------------


def annotated(**annotations: str) -> Any:
    found = wish(1)
    found.metadata.annotations = annotations
    return found


def test_annotations_are_copied_but_for_those_of_apply_and_of_roll_outs() -> None:
    owner = wish(1)
    owner.metadata.annotations = {
        "kubernetes.io/change-cause": "because",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        REVISION: "7",
        REVISION_HISTORY: "1,2",
        "deployment.kubernetes.io/desired-replicas": "9",
        "deployment.kubernetes.io/max-replicas": "9",
    }
    assert annotations_of_new(view(owner, None)) == {"kubernetes.io/change-cause": "because", REVISION: "1"}


def test_nothing_is_to_be_written_when_all_is_there() -> None:
    assert annotations_of_new(view(wish(1), sized("a", 1, revision="2"), sized("b", 0, revision="1"))) == {}


def test_a_revision_is_never_lowered() -> None:
    assert annotations_of_new(view(wish(1), sized("a", 1, revision="5"), sized("b", 0, revision="1"))) == {}


@pytest.mark.parametrize(("history", "expected"), [("", "1"), ("0", "0,1")])
def test_going_back_gives_a_new_revision_and_keeps_the_old_ones(history: str, expected: str) -> None:
    notes: dict[str, Any] = {"history": history} if history else {}
    found = annotations_of_new(view(wish(1), sized("a", 1, revision="1", **notes), sized("b", 3, revision="2")))
    assert found == {REVISION: "3", REVISION_HISTORY: expected}


def test_a_long_history_loses_its_oldest_numbers() -> None:
    history = ",".join(str(number) for number in range(1000, 1450))
    found = annotations_of_new(
        view(wish(1), sized("a", 1, revision="1450", history=history), sized("b", 3, revision="1451"))
    )
    kept = found[REVISION_HISTORY].split(",")
    assert len(found[REVISION_HISTORY]) <= HISTORY_CHARACTERS_MAX
    assert kept[-1] == "1450"
    assert kept[0] != "1000"


# --- a new one ------------------------------------------------------------------------------------------


def test_a_new_replica_set() -> None:
    owner = wish(10, minReadySeconds=7)
    owner.status.collision_count = 1
    made = new_replica_set(view(owner, None, sized("b", 3, revision="2")), 4)
    hash_ = template_hash(owner.spec.template, 1)
    assert made.metadata.name == f"web-{hash_}"
    assert made.metadata.labels == {"app": "web", HASH_LABEL: hash_}
    assert made.metadata.annotations == {
        REVISION: "3",
        "deployment.kubernetes.io/desired-replicas": "10",
        "deployment.kubernetes.io/max-replicas": "11",
    }
    reference = controller_of(made)
    assert reference is not None
    assert (reference.kind, reference.uid) == ("Deployment", "d")
    assert (made.spec.replicas, made.spec.min_ready_seconds) == (4, 7)
    assert made.spec.selector is not None
    assert made.spec.selector.match_labels == made.spec.template.metadata.labels == made.metadata.labels
    assert owner.spec.selector is not None
    assert owner.spec.selector.match_labels == {"app": "web"}


def test_a_long_name_leaves_room_for_the_hash() -> None:
    owner = wish(1)
    owner.metadata.name = "w" * 253
    assert len(new_replica_set(view(owner, None), 1).metadata.name) == 253


# --- history --------------------------------------------------------------------------------------------


def kept_out(limit: int | None, *old: Any) -> list[str]:
    owner = wish(1)
    owner.spec.revision_history_limit = limit
    return [each.metadata.name for each in to_forget(view(owner, sized("new", 1, revision="9"), *old))]


def test_the_lowest_revisions_beyond_the_limit_are_forgotten() -> None:
    old = [sized("c", 0, revision="3"), sized("a", 0, revision="1"), sized("b", 0, revision="2")]
    assert kept_out(1, *old) == ["a", "b"]
    assert kept_out(0, *old) == ["a", "b", "c"]
    assert kept_out(3, *old) == []
    assert kept_out(None, *old) == []


def test_one_that_has_or_may_have_pods_is_kept() -> None:
    old = [sized("a", 1), sized("b", 0, pods=1), sized("c", 0, observed=False), sized("d", 0, revision="5")]
    assert kept_out(0, *old) == ["d"]
