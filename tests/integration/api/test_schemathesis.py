"""schemathesis against our own OpenAPI v3 documents: what they promise and what they forbid, sent to a real server.

No request fails the server, every answer has a content type its operation documents, and a refusal is a Status.
KMINI_SCHEMA_EXAMPLES sets how many requests each document gets; the default fits into every run of the tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from api_thread import ThreadedApi, api_on_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from apiserver.registry.table import table

EXAMPLES = int(os.environ.get("KMINI_SCHEMA_EXAMPLES", "25"))
TIMEOUT_S = 30.0
#: A watch lasts, and a version to come is waited for: these have tests of their own.
LASTING = ("watch", "resourceVersion")
DOCUMENTS = sorted({f"apis/{row.group}/{row.version}" if row.group else f"api/{row.version}" for row in table().rows})

bounded = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


class Served(NamedTuple):
    api: ThreadedApi
    session: requests.Session


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as api, requests.Session() as session:
        pki_dir = api.api.pki_dir
        session.trust_env = False  # else a bundle of the machine's would stand in for our CA
        session.cert = (str(pki_dir / "admin.crt"), str(pki_dir / "admin.key"))
        session.verify = str(pki_dir / "ca.crt")
        yield Served(api, session)
        assert api.json("GET", "/readyz").code == 200


def documented_types(operation: Any) -> set[str]:
    """Every content type that the operation's answers may have; `*/*` is any: a proxy passes on what it gets."""
    answers = operation.definition.raw["responses"].values()
    return {content_type.partition(";")[0] for answer in answers for content_type in answer.get("content", {})}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_the_documents_say_holds(served: Served, document: str) -> None:
    described = served.api.json("GET", f"/openapi/v3/{document}").body
    every: Any = schemathesis.openapi.from_dict(described).get_all_operations()
    operations = [found.ok() for found in every]

    @bounded
    @given(data=st.data())
    def property_(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(operations))
        mode = data.draw(st.sampled_from([GenerationMode.NEGATIVE, GenerationMode.POSITIVE]))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for name in LASTING:
            case.query.pop(name, None)
        sent = case.as_transport_kwargs(base_url=served.api.api.url)
        with served.session.request(**sent, timeout=TIMEOUT_S, allow_redirects=False) as response:
            check(response, documented_types(operation), sent)

    property_()


def check(response: requests.Response, documented: set[str], sent: object) -> None:
    assert response.status_code < 500, (response.text, sent)
    content_type = response.headers["Content-Type"].partition(";")[0]
    if response.status_code >= 400:
        assert documented & {content_type, "*/*"} or content_type == "application/json", (content_type, sent)
        if response.request.method != "HEAD" and content_type == "application/json":
            status = response.json()
            assert (status["kind"], status["code"]) == ("Status", response.status_code), (status, sent)
    else:
        assert documented & {content_type, "*/*"}, (content_type, documented, sent)
