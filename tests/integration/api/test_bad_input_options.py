"""Options of lists, watches and deletions that have no meaning, that contradict each other, or that come too late."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_thread import ThreadedApi, api_on_thread
from wrong_requests import MAPS, PODS, Wrong, check_wrong, config_map, prepare

BAD, INVALID, CONFLICT = (400, "BadRequest"), (422, "Invalid"), (409, "Conflict")
MATCH = "resourceVersionMatch"
LIST_KIND = 'ListOptions.meta.k8s.io "" is invalid: '
DELETE_KIND = 'DeleteOptions.meta.k8s.io "" is invalid: '
THERE = f"{MAPS}/there"


def listed(id: str, query: str, says: str, *fields: str) -> Wrong:
    code_reason = INVALID if fields else BAD
    return Wrong(f"list: {id}", "GET", f"{MAPS}?{query}", None, *code_reason, says, fields)


def watched(id: str, query: str, says: str, *fields: str) -> Wrong:
    code_reason = INVALID if fields else BAD
    return Wrong(f"watch: {id}", "GET", f"{MAPS}?watch=1&{query}", None, *code_reason, says, fields)


def deleted(id: str, says: str, *fields: str, query: str = "", body: object = None, path: str = THERE) -> Wrong:
    code_reason = INVALID if fields else BAD
    return Wrong(f"delete: {id}", "DELETE", f"{path}?{query}", body, *code_reason, says, fields)


LISTS: list[Wrong] = [
    listed("a limit in words", "limit=all", "limit: Invalid value"),
    listed("a limit below nothing", "limit=-1", "limit: Invalid value"),
    listed("a continue of nobody's", "limit=1&continue=xyz", "continue key is not valid"),
    listed("a continue too long", f"limit=1&continue={'a' * 5_000}", "continue key is not valid"),
    listed("a continue that is no text", "limit=1&continue=%C3%A9", "continue key is not valid"),
    listed("a continue and a version", "continue=eyJ&resourceVersion=1", "specifying resource version is not allowed"),
    listed("a version in words", "resourceVersion=new", "resourceVersion: Invalid value"),
    listed("a version below nothing", "resourceVersion=-1", "resourceVersion: Invalid value"),
    listed("a version too large to be one", f"resourceVersion={'9' * 30}", "resourceVersion: Invalid value"),
    listed("a match without a version", f"{MATCH}=Exact",
           f"{LIST_KIND}{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided", MATCH),
    listed("a match that is none", f"{MATCH}=Near&resourceVersion=1", "Unsupported value: \"Near\"", MATCH),
    listed("exactly anything", f"{MATCH}=Exact&resourceVersion=0",
           f'{MATCH} "exact" is forbidden for resourceVersion "0"', MATCH),
    listed("a match and a continue", f"{MATCH}=Exact&continue=eyJ", "is forbidden for continue", MATCH, MATCH),
    listed("initial events", "sendInitialEvents=true",
           f"{LIST_KIND}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list", "sendInitialEvents"),
    listed("a watch that is neither", "watch=perhaps", "watch: Invalid value"),
    listed("a timeout in words", "timeoutSeconds=soon", "timeoutSeconds: Invalid value"),
    listed("a selector cut off", "labelSelector=a+in+(b", "unable to parse requirement: found"),
    listed("a selector of signs", "labelSelector=%21%21", "unable to parse requirement"),
    listed("a label that is none", "labelSelector=a%20b", "unable to parse requirement"),
    listed("a value that is none", "labelSelector=a%3D-", "Invalid value"),
    listed("a long selector", f"labelSelector={'a' * 17_000}", "labelSelector: may not be more than"),
    listed("a field that is none", "fieldSelector=data%3Da", '"data" is not a known field selector'),
    listed("a field selector cut off", "fieldSelector=metadata.name", "invalid selector"),
    listed("bad UTF-8", "labelSelector=%ff", "the query is not valid UTF-8"),
    listed("many parameters", "&".join(f"a{n}=b" for n in range(300)), "more than 256 parameters"),
    listed("a long query", f"a={'b' * 33_000}", "the query is longer than 32768 characters"),
]  # fmt: skip

WATCHES: list[Wrong] = [
    watched("a match alone", f"{MATCH}=NotOlderThan&resourceVersion=1",
            f"{MATCH} is forbidden for watch unless sendInitialEvents is provided", MATCH),
    watched("initial events without a match", "sendInitialEvents=true&allowWatchBookmarks=true",
            f"sendInitialEvents requires setting {MATCH} to NotOlderThan", MATCH),
    watched("initial events without bookmarks", f"sendInitialEvents=true&{MATCH}=NotOlderThan",
            "sendInitialEvents requires allowWatchBookmarks", "sendInitialEvents"),
    watched("an exact match", f"sendInitialEvents=true&allowWatchBookmarks=1&{MATCH}=Exact&resourceVersion=1",
            "", MATCH, MATCH),
    watched("a continue", "continue=eyJ", "continue is forbidden for watch", "continue"),
    watched("a version in words", "resourceVersion=new", "resourceVersion: Invalid value"),
    watched("a selector cut off", "labelSelector=(", "expected: !, identifier"),
    watched("a field that is none", "fieldSelector=a%3Db", '"a" is not a known field selector'),
    watched("bookmarks in words", "allowWatchBookmarks=often", "allowWatchBookmarks: Invalid value"),
    Wrong("watch: a form that is none", "GET", f"{MAPS}?watch=1", None, 406, "NotAcceptable",
          "only the following media types are accepted", headers={"Accept": "application/xml"}),
]  # fmt: skip

DELETES: list[Wrong] = [
    deleted("a policy that is none", f"{DELETE_KIND}propagationPolicy: Unsupported value: \"Slow\"",
            "propagationPolicy", query="propagationPolicy=Slow"),
    deleted("a policy and orphans", "orphanDependents and deletionPropagation cannot be both set",
            "propagationPolicy", body={"propagationPolicy": "Orphan", "orphanDependents": True}),
    deleted("a dry run that is none", "Unsupported value: \"Some\"", "dryRun", query="dryRun=Some"),
    deleted("a dry run in the body that is none", "Unsupported value: \"some\"", "dryRun", body={"dryRun": ["some"]}),
    deleted("a grace in words", "gracePeriodSeconds: Invalid value", query="gracePeriodSeconds=long"),
    deleted("a body of another kind", "must be DeleteOptions, not Pod", body={"kind": "Pod", "apiVersion": "v1"}),
    deleted("a body that is none", "not valid JSON", body=b"{"),
    deleted("a grace of another type", "gracePeriodSeconds", body={"gracePeriodSeconds": "1"}),
    deleted("a collection by a broken selector", "expected: !, identifier", query="labelSelector=(", path=MAPS),
    Wrong("delete: another uid", "DELETE", THERE, {"preconditions": {"uid": "u"}}, *CONFLICT,
          "Precondition failed: UID in precondition: u, UID in object meta: "),
    Wrong("delete: another version", "DELETE", THERE, {"preconditions": {"resourceVersion": "1"}}, *CONFLICT,
          "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: "),
    Wrong("delete: what is not there", "DELETE", f"{PODS}/missing", None, 404, "NotFound", 'pods "missing" not found'),
    Wrong("delete: a namespace that stays", "DELETE", "/api/v1/namespaces/default", None, 403, "Forbidden",
          'namespaces "default" is forbidden: this namespace may not be deleted'),
    Wrong("delete: all namespaces", "DELETE", "/api/v1/namespaces", None, 405, "MethodNotAllowed",
          "the server does not allow this method on the requested resource"),
    Wrong("delete: pods of all namespaces", "DELETE", "/api/v1/pods", None, 405, "MethodNotAllowed",
          "the server does not allow this method on the requested resource"),
]  # fmt: skip

WRONG = [*LISTS, *WATCHES, *DELETES]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedApi]:
    with api_on_thread(tmp_path_factory.mktemp("api")) as served:
        prepare(served)
        yield served


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_options_without_a_meaning_are_refused(api: ThreadedApi, wrong: Wrong) -> None:
    check_wrong(api, wrong)


def test_nothing_was_deleted_by_a_refused_request(api: ThreadedApi) -> None:
    assert api.json("GET", THERE).code == 200


def test_a_continue_belongs_to_its_list(api: ThreadedApi) -> None:
    page = api.json("GET", "/api/v1/pods?limit=1").body
    following = page["metadata"]["continue"]
    for path in (MAPS, "/api/v1/namespaces/other/pods", "/apis/apps/v1/deployments"):
        answer = api.json("GET", f"{path}?limit=1&continue={following}")
        assert (answer.code, answer.body["reason"]) == (400, "BadRequest"), path
    assert api.json("GET", f"/api/v1/pods?limit=1&continue={following}").code == 200


@pytest.mark.parametrize("query", ["resourceVersion=99999999", "watch=1&resourceVersion=99999999"])
def test_a_version_to_come_is_waited_for_and_then_a_timeout(api: ThreadedApi, query: str) -> None:
    answer = api.json("GET", f"{MAPS}?{query}")
    assert (answer.code, answer.body["reason"]) == (504, "Timeout")
    assert "Too large resource version: 99999999, current: " in answer.body["message"]
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["Retry-After"]


def test_what_is_compacted_is_gone(api: ThreadedApi) -> None:
    page = api.json("GET", "/api/v1/pods?limit=1").body["metadata"]
    old = page["resourceVersion"]
    for _ in range(3):
        api.json("PUT", THERE, config_map("there", data={"a": old}))
        old, page["now"] = str(int(old) + 1), api.json("GET", THERE).body["metadata"]["resourceVersion"]
    api.run(api.api.store.compact(int(page["now"])))
    first = page["resourceVersion"]
    for query in (
        f"watch=1&resourceVersion={first}",
        f"limit=1&continue={page['continue']}",
        f"{MATCH}=Exact&resourceVersion={first}",
    ):
        answer = api.json("GET", f"/api/v1/pods?{query}")
        assert (answer.code, answer.body["reason"]) == (410, "Expired"), query
