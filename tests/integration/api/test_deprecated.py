"""Who uses a resource that has had its day is told so, whatever he does with it, and is served all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_thread import ThreadedApi, api_on_thread

ENDPOINTS = "/api/v1/namespaces/default/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
TOLD = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
OLD = {"metadata": {"name": "old"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        assert served.json("POST", ENDPOINTS, OLD).code == 201
        yield served


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{ENDPOINTS}/old"),
        ("GET", ENDPOINTS),
        ("GET", f"{ENDPOINTS}?limit=1"),
        ("GET", f"{ENDPOINTS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name=old"),
        ("GET", "/api/v1/endpoints"),
        ("PATCH", f"{ENDPOINTS}/old?dryRun=All"),
        ("POST", f"{ENDPOINTS}?dryRun=All"),
        ("DELETE", f"{ENDPOINTS}/old?dryRun=All"),
    ],
)
def test_endpoints_say_what_to_use_instead(api: ThreadedApi, method: str, path: str) -> None:
    body = {"PATCH": {"metadata": {"labels": {"a": "b"}}}, "POST": {**OLD, "metadata": {"name": "older"}}}.get(method)
    content_type = {"PATCH": "application/merge-patch+json"}.get(method, "application/json")
    answer = api.json(method, path, body, headers={"Content-Type": content_type} if body else {})
    assert answer.code in (200, 201), answer.body
    assert answer.headers["Warning"] == TOLD


def test_slices_say_nothing(api: ThreadedApi) -> None:
    answer = api.json("GET", SLICES)
    assert (answer.code, "Warning" in answer.headers) == (200, False)
