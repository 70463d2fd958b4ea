"""Tables and bare metadata as kubectl and metadata-only clients read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import view_objects as some
import view_rows as rows

from apiserver.api.errors import BadRequest
from apiserver.api.meta import ListMeta
from apiserver.http import tables
from apiserver.http.tables import table


def shown(*objects: Any, resource: Any = rows.PODS, **options: Any) -> Any:
    return msgspec.json.decode(table(resource, objects, now_s=some.NOW_S, **options))


def test_a_list_becomes_one_table() -> None:
    first, second = some.pods()["running"], some.pods()["completed"]
    found = shown(first, second, list_metadata=ListMeta(resource_version="42", continue_="next"))
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert found["metadata"] == {"resourceVersion": "42", "continue": "next"}
    assert [each["name"] for each in found["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert found["columnDefinitions"][0] == {
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "Name of the object.",
        "priority": 0,
    }
    assert [row["cells"][2] for row in found["rows"]] == ["Running", "Completed"]


def test_rows_carry_what_was_asked_for() -> None:
    pod = some.pods()["running"]
    by_default = shown(pod)["rows"][0]["object"]
    assert (by_default["kind"], by_default["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert by_default["metadata"]["name"] == "a"
    assert "spec" not in by_default
    assert shown(pod, include_object="None")["rows"][0]["object"] is None
    whole = shown(pod, include_object="Object")["rows"][0]["object"]
    assert (whole["kind"], whole["spec"]["nodeName"]) == ("Pod", "n1")


def test_a_row_of_another_version_shows_its_cells_and_its_own_form() -> None:
    pod = some.pods()["running"]
    found = shown(pod, resource=rows.ALPHA_PODS, include_object="Object")["rows"][0]
    assert found["cells"][1:3] == ["1/1", "Running"]
    assert found["object"]["apiVersion"] == "v1alpha1"


def test_a_watch_tells_the_columns_once() -> None:
    pod = some.pods()["running"]
    assert len(shown(pod, headers=True)["columnDefinitions"]) == 9
    assert shown(pod, headers=False)["columnDefinitions"] is None


def test_a_single_object_gives_the_table_its_resource_version() -> None:
    assert shown(some.pods()["running"])["metadata"] == {"resourceVersion": "7"}


def test_the_older_version_is_named_throughout() -> None:
    found = shown(some.pods()["running"], version="v1beta1")
    assert found["apiVersion"] == "meta.k8s.io/v1beta1"
    assert found["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"


def test_rows_of_pods_that_ended_say_so() -> None:
    ended, running = some.pods()["evicted"], some.pods()["running"]
    first, second = shown(ended, running)["rows"]
    assert [(each["type"], each["status"], each["reason"]) for each in first["conditions"]] == [
        ("Completed", "True", "Failed")
    ]
    assert "conditions" not in second


def test_a_table_can_be_made_in_steps() -> None:
    pods = list(some.pods().values())
    writer = tables.TableWriter(rows.PODS, now_s=some.NOW_S)
    meta = ListMeta(resource_version="9")
    steps = b",".join(writer.rows(pods[start : start + 10]) for start in range(0, len(pods), 10))
    assert writer.begin(meta) + steps + b"]}" == table(rows.PODS, pods, now_s=some.NOW_S, list_metadata=meta)


def test_an_empty_list_is_a_table_without_rows() -> None:
    found = shown(list_metadata=ListMeta(resource_version="9"))
    assert found["rows"] == []
    assert len(found["columnDefinitions"]) == 9


def test_a_kind_without_columns_has_name_and_age() -> None:
    account = msgspec.convert({"metadata": some.metadata("sa")}, rows.SERVICE_ACCOUNTS.type)
    found = shown(account, resource=rows.SERVICE_ACCOUNTS)
    assert [each["name"] for each in found["columnDefinitions"]] == ["Name", "Age"]
    assert found["rows"][0]["cells"] == ["sa", "10m"]


def test_which_headers_want_a_table() -> None:
    kubectl = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    assert tables.wants_table(kubectl) == "v1beta1"
    for other in (None, "application/json", "application/json," + kubectl, "text/plain"):
        assert tables.wants_table(other) is None


def test_include_object_is_one_of_three() -> None:
    assert tables.check_include_object("") == "Metadata"
    assert tables.check_include_object("None") == "None"
    with pytest.raises(BadRequest, match="includeObject"):
        tables.check_include_object("everything")


def test_partial_metadata_copies_the_metadata_as_it_is_served() -> None:
    served = b'{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7","name":"a","labels":{"k":"\xc3\xa9"}}}'
    found = tables.partial_object(served)
    assert found == (
        b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",'
        b'"metadata":{"resourceVersion":"7","name":"a","labels":{"k":"\xc3\xa9"}}}'
    )
    listed = msgspec.json.decode(tables.partial_list([served, served], list_metadata=ListMeta(resource_version="8")))
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["metadata"] == {"resourceVersion": "8"}
    assert listed["items"] == [msgspec.json.decode(found)] * 2
    assert msgspec.json.decode(tables.partial_list([], list_metadata=ListMeta()))["items"] == []


def test_partial_metadata_is_not_fooled_by_what_lies_deeper() -> None:
    served = b'{"spec":{"metadata":{"name":"wrong"}},"metadata":{"name":"right"},"data":{"metadata":"no"}}'
    assert msgspec.json.decode(tables.partial_object(served))["metadata"] == {"name": "right"}
