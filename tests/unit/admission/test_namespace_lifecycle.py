"""Namespaces: nothing is made in one that is missing or going, and four never go."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import made, pass_through, refusal, write
from two_views import TwoViews

from apiserver.admission.namespace_lifecycle import IMMORTAL, NamespaceLifecycle
from apiserver.api.meta import StatusCause

PLUGIN = NamespaceLifecycle()
CONFIG_MAP = made("configmaps", "c", namespace="team")


def test_nothing_is_made_in_a_namespace_that_is_missing() -> None:
    lookup = TwoViews()
    error = refusal(PLUGIN, write("configmaps", CONFIG_MAP), lookup)
    assert (error.status_code, error.message) == (404, 'namespaces "team" not found')
    assert (error.details.kind, error.details.name) == ("namespaces", "team")
    assert lookup.asked["linearizable"] == 1


def test_a_namespace_that_is_new_here_is_found() -> None:
    lookup = TwoViews()
    lookup.commit("namespaces", made("namespaces", "team"))
    pass_through(PLUGIN, write("configmaps", CONFIG_MAP), lookup)
    assert lookup.asked == {"local": 1, "linearizable": 1}


def test_a_namespace_that_is_known_here_costs_no_round_trip() -> None:
    lookup = TwoViews()
    lookup.put("namespaces", made("namespaces", "team"))
    pass_through(PLUGIN, write("configmaps", CONFIG_MAP), lookup)
    assert lookup.asked == {"local": 1, "linearizable": 0}


@pytest.mark.parametrize(
    "fields", [{"status": {"phase": "Terminating"}}, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}]
)
def test_nothing_is_made_in_a_namespace_that_goes(fields: dict[str, Any]) -> None:
    lookup = TwoViews()
    lookup.put("namespaces", made("namespaces", "team", **fields))
    error = refusal(PLUGIN, write("configmaps", CONFIG_MAP), lookup)
    assert error.status_code == 403
    assert error.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace team because it is being terminated'
    )
    assert error.causes == [
        StatusCause(
            reason="NamespaceTerminating",
            message="namespace team is being terminated",
            field="metadata.namespace",
        )
    ]


@pytest.mark.parametrize("operation", ["UPDATE", "DELETE"])
def test_what_is_there_may_change_and_go(operation: str) -> None:
    obj = None if operation == "DELETE" else CONFIG_MAP
    pass_through(PLUGIN, write("configmaps", obj, CONFIG_MAP, operation=operation))


@pytest.mark.parametrize("name", sorted(IMMORTAL))
def test_four_namespaces_never_go(name: str) -> None:
    namespace = made("namespaces", name)
    error = refusal(PLUGIN, write("namespaces", None, namespace, operation="DELETE"))
    assert (error.status_code, error.message) == (
        403,
        f'namespaces "{name}" is forbidden: this namespace may not be deleted',
    )


def test_any_other_namespace_may_go_and_come() -> None:
    namespace = made("namespaces", "team")
    pass_through(PLUGIN, write("namespaces", None, namespace, operation="DELETE"))
    pass_through(PLUGIN, write("namespaces", namespace))


def test_objects_of_the_cluster_need_no_namespace() -> None:
    pass_through(PLUGIN, write("nodes", made("nodes", "n1")))


def test_questions_about_a_namespace_need_none() -> None:
    review = made("authorization.k8s.io/localsubjectaccessreviews", "", namespace="team")
    pass_through(PLUGIN, write("authorization.k8s.io/localsubjectaccessreviews", review))
