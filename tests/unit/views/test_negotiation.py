"""Which form a client gets for its Accept header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.errors import NotAcceptable
from apiserver.http import negotiation
from apiserver.http.negotiation import PLAIN, Accepted, Form, negotiate

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
KUBECTL_DISCOVERY = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def form(accept: str | None, forms: frozenset[Form] = negotiation.OBJECTS) -> Form:
    return negotiate(accept, forms).form


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, Form.JSON),
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("application/json", Form.JSON),
        ("Application/JSON; charset=utf-8", Form.JSON),
        ("application/*", Form.JSON),
        ("application/vnd.kubernetes.protobuf,application/json", Form.JSON),
        ("application/vnd.kubernetes.protobuf, */*", Form.JSON),
        ("application/cbor,application/json;q=0.5", Form.JSON),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Form.JSON),
        ("application/yaml", Form.YAML),
        ("application/yaml;q=0.9,application/json;q=0.1", Form.YAML),
        ("application/yaml;q=0.1,application/json", Form.JSON),
        ("*/*,application/yaml", Form.YAML),  # the exact one goes first
        ("application/json;q=0,application/yaml", Form.YAML),
        (KUBECTL_GET, Form.TABLE),
        (PARTIAL, Form.PARTIAL),
        (PARTIAL.replace("Metadata;", "MetadataList;"), Form.PARTIAL_LIST),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form.JSON),
        ("application/json;as=Table;v=v1;g=other,application/json", Form.JSON),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", Form.JSON),
        ("application/json;q=nan", Form.JSON),
        ("application/json;q=9e999", Form.JSON),
        (";;;,,,application/json", Form.JSON),
    ],
)
def test_the_best_form_the_server_can_give_wins(accept: str | None, expected: Form) -> None:
    assert form(accept) is expected


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/plain",
        "application/json;q=0",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    ],
)
def test_what_cannot_be_given_is_refused_with_what_can(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted: application/json"):
        negotiate(accept)
    assert negotiation.negotiate_or_json(accept) == PLAIN


def test_a_form_is_given_only_where_it_makes_sense() -> None:
    assert form(KUBECTL_GET, negotiation.ONLY_JSON) is Form.JSON
    assert form("text/event-stream", negotiation.WATCHES) is Form.EVENT_STREAM
    assert form("text/event-stream, */*", negotiation.OBJECTS) is Form.JSON
    with pytest.raises(NotAcceptable):
        negotiate("text/event-stream", negotiation.OBJECTS)


def test_the_version_that_was_asked_for_first_is_given() -> None:
    assert negotiate(KUBECTL_GET).version == "v1"
    assert negotiate(KUBECTL_GET.replace("v=v1;", "v=v0;", 1)).version == "v1beta1"


def test_aggregated_discovery_answers_with_the_type_clients_compare() -> None:
    assert negotiate(KUBECTL_DISCOVERY, negotiation.DISCOVERY) == Accepted(
        Form.DISCOVERY, "v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )


def test_the_protobuf_of_openapi_is_answered_with_a_type_that_can_be_parsed() -> None:
    accepted = negotiate(negotiation.PROTOBUF_OPENAPI_V2_ASKED, negotiation.OPENAPI_V2)
    assert accepted.form is Form.PROTOBUF_OPENAPI
    assert "@" not in accepted.content_type


def test_headers_have_a_bound() -> None:
    with pytest.raises(NotAcceptable):
        negotiate("text/x," * negotiation.RANGES_MAX + "application/json")
    with pytest.raises(NotAcceptable):
        negotiate("text/" + "x" * 1_000_000 + ",application/json")


@given(st.text(max_size=200) | st.text(alphabet="application/jsonyml*;,=q.01 asTblev", max_size=80))
def test_no_header_breaks_it(accept: str) -> None:
    assert isinstance(negotiation.negotiate_or_json(accept, negotiation.OBJECTS), Accepted)
