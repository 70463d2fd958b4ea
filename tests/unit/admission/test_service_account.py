"""Pods run as an account that exists, and carry a token of it unless they do not want one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from admission_world import made, pass_through, refusal, write
from two_views import TwoViews

from apiserver.admission.pods import MIRROR_ANNOTATION
from apiserver.admission.service_account import MOUNT_PATH, ServiceAccounts, suffix_of
from apiserver.api.fields import Causes
from apiserver.api.names import is_dns_label
from apiserver.registry.strategies.pod_validation.spec import validate_pod_spec

PLUGIN = ServiceAccounts(suffix=lambda _account: "abcde")


def accounts(*names: str, **fields: Any) -> TwoViews:
    lookup = TwoViews()
    for name in names or ("default",):
        lookup.put("serviceaccounts", made("serviceaccounts", name, namespace="team", **fields))
    return lookup


def pod(*, metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    spec.setdefault("containers", [{"name": "app", "image": "i"}])
    return made("pods", "web", namespace="team", metadata=metadata or {}, spec=spec)


def test_a_pod_that_says_nothing_runs_as_default() -> None:
    admitted = pass_through(PLUGIN, write("pods", pod()), accounts())
    assert (admitted.spec.service_account_name, admitted.spec.service_account) == ("default", "default")


def test_an_account_that_does_not_exist_is_refused() -> None:
    lookup = accounts()
    error = refusal(PLUGIN, write("pods", pod(serviceAccountName="robot")), lookup)
    assert (error.status_code, error.message) == (
        403,
        'pods "web" is forbidden: error looking up service account team/robot: serviceaccount "robot" not found',
    )
    assert lookup.asked["linearizable"] == 1


def test_an_account_that_is_new_here_is_found() -> None:
    lookup = TwoViews()
    lookup.commit("serviceaccounts", made("serviceaccounts", "default", namespace="team"))
    pass_through(PLUGIN, write("pods", pod()), lookup)


def test_the_token_is_mounted_into_every_container() -> None:
    containers = [{"name": "app"}, {"name": "own", "volumeMounts": [{"name": "mine", "mountPath": MOUNT_PATH}]}]
    request = write("pods", pod(containers=containers, initContainers=[{"name": "init"}]))
    spec = pass_through(PLUGIN, request, accounts()).spec
    mounts = [[(mount.name, mount.read_only) for mount in each.volume_mounts] for each in spec.containers]
    assert mounts == [[("kube-api-access-abcde", True)], [("mine", False)]]
    assert [mount.mount_path for mount in spec.init_containers[0].volume_mounts] == [MOUNT_PATH]
    (volume,) = spec.volumes
    assert msgspec.to_builtins(volume) == {
        "name": "kube-api-access-abcde",
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
        },
    }


def test_what_is_mounted_passes_the_rules_of_pods() -> None:
    request = write("pods", pod(terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst", restartPolicy="Always"))
    spec = pass_through(PLUGIN, request, accounts()).spec
    causes = Causes()
    validate_pod_spec(spec, causes, "spec", pod_name="web", is_pod=True)
    assert [each for each in causes.found if "volume" in each.field.lower()] == []


def test_a_token_volume_of_the_pods_own_is_used() -> None:
    volume = {"name": "kube-api-access-mine", "projected": {"sources": []}}
    spec = pass_through(PLUGIN, write("pods", pod(volumes=[volume])), accounts()).spec
    assert [each.name for each in spec.volumes] == ["kube-api-access-mine"]
    assert spec.containers[0].volume_mounts[0].name == "kube-api-access-mine"


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_the_word_of_the_pod_counts_before_that_of_the_account(
    of_pod: bool | None, of_account: bool | None, mounted: bool
) -> None:
    fields = {} if of_account is None else {"automountServiceAccountToken": of_account}
    spec: dict[str, Any] = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    admitted = pass_through(PLUGIN, write("pods", pod(**spec)), accounts(**fields))
    assert bool(admitted.spec.volumes) is mounted


def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own() -> None:
    lookup = accounts(imagePullSecrets=[{"name": "registry"}])
    admitted = pass_through(PLUGIN, write("pods", pod()), lookup)
    assert [each.name for each in admitted.spec.image_pull_secrets] == ["registry"]
    admitted = pass_through(PLUGIN, write("pods", pod(imagePullSecrets=[{"name": "mine"}])), lookup)
    assert [each.name for each in admitted.spec.image_pull_secrets] == ["mine"]


def test_only_new_pods_are_looked_at() -> None:
    old = pod()
    admitted = pass_through(PLUGIN, write("pods", pod(), old))
    assert admitted == old
    pass_through(PLUGIN, write("pods", None, old, operation="DELETE"))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "a mirror pod may not reference secrets"),
        ({"imagePullSecrets": [{"name": "s"}]}, "a mirror pod may not reference secrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "a mirror pod may not use service account token volume projections",
        ),
    ],
)
def test_a_mirror_pod_leads_to_nobodys_secrets(spec: dict[str, Any], why: str) -> None:
    mirror = pod(metadata={"annotations": {MIRROR_ANNOTATION: "x"}}, nodeName="n1", **spec)
    error = refusal(PLUGIN, write("pods", mirror), accounts())
    assert (error.status_code, error.message) == (403, f'pods "web" is forbidden: {why}')


def test_a_mirror_pod_stays_as_it_is() -> None:
    mirror = pod(metadata={"annotations": {MIRROR_ANNOTATION: "x"}}, nodeName="n1")
    before = msgspec.json.encode(mirror)
    assert msgspec.json.encode(pass_through(PLUGIN, write("pods", mirror), accounts())) == before


def test_volumes_are_named_alike_for_one_account_and_differ_between_accounts() -> None:
    accounts = [made("serviceaccounts", "default", namespace="team", metadata={"uid": f"u{n}"}) for n in range(50)]
    names = [suffix_of(account) for account in accounts]
    assert len(set(names)) > 40
    assert names == [suffix_of(account) for account in accounts]
    assert all(len(name) == 5 and is_dns_label(name) == [] for name in names)
