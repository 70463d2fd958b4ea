"""Moments of any object: one form, and one clear refusal."""

from __future__ import annotations

import pytest

from apiserver.api.apps import Deployment, DeploymentCondition, DeploymentStatus
from apiserver.api.coordination import Lease, LeaseSpec
from apiserver.api.core.event import Event, EventSeries
from apiserver.api.core.pod import Pod
from apiserver.api.errors import BadRequest
from apiserver.api.meta import ManagedFieldsEntry, ObjectMeta
from apiserver.api.moments import canonical_moments


def test_moments_are_in_utc_and_as_fine_as_their_type() -> None:
    lease = Lease(spec=LeaseSpec(renew_time="2026-01-31T13:00:00.5+01:00", acquire_time="2026-01-31T12:00:00Z"))
    canonical_moments(lease)
    assert lease.spec.renew_time == "2026-01-31T12:00:00.500000Z"
    assert lease.spec.acquire_time == "2026-01-31T12:00:00.000000Z"
    event = Event(
        first_timestamp="2026-01-31T12:00:00.9Z", series=EventSeries(last_observed_time="2026-01-31T12:00:00Z")
    )
    canonical_moments(event)
    assert event.first_timestamp == "2026-01-31T12:00:00Z"
    assert event.series is not None
    assert event.series.last_observed_time == "2026-01-31T12:00:00.000000Z"


def test_moments_in_lists_and_metadata() -> None:
    obj = Deployment(
        metadata=ObjectMeta(managed_fields=[ManagedFieldsEntry(time="2026-01-31T12:00:00+00:00")]),
        status=DeploymentStatus(conditions=[DeploymentCondition(last_update_time="2026-01-31T12:00:00.1Z")]),
    )
    canonical_moments(obj)
    assert obj.metadata.managed_fields[0].time == "2026-01-31T12:00:00Z"
    assert obj.status.conditions[0].last_update_time == "2026-01-31T12:00:00Z"


def test_no_moment_is_no_moment() -> None:
    obj = Lease(spec=LeaseSpec(renew_time=""))
    canonical_moments(obj)
    assert obj.spec.renew_time is None
    canonical_moments(Pod())


@pytest.mark.parametrize("text", ["yesterday", "2026-01-31", "2026-13-31T12:00:00Z", "1769860800"])
def test_what_is_no_moment_is_refused_by_its_place(text: str) -> None:
    obj = Deployment(status=DeploymentStatus(conditions=[DeploymentCondition(last_transition_time=text)]))
    with pytest.raises(BadRequest, match=r"^status\.conditions\[0\]\.lastTransitionTime: "):
        canonical_moments(obj)
