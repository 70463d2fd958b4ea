"""As whom a container runs, and what it may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from spec_world import IMAGE, container, pod

from nodeagent.house import NotYet
from nodeagent.runtime.interface import Image, Security
from nodeagent.spec.security import MASKED_PATHS, READ_ONLY_PATHS, container_security, sandbox_security

NOBODY = msgspec.structs.replace(IMAGE, user=65534)
NAMED = msgspec.structs.replace(IMAGE, username="app")


def merged(
    own: dict[str, Any] | None = None,
    shared: dict[str, Any] | None = None,
    image: Image = IMAGE,
    *,
    profiles: Path = Path("/nowhere"),
    app_armor: bool = False,
) -> Security:
    spec = container(securityContext=own or {})
    return container_security(
        pod(spec, securityContext=shared or {}), spec, image, profiles=profiles, app_armor=app_armor
    )


def test_nothing_is_asked_for() -> None:
    assert merged() == Security(
        groups=[],
        add_capabilities=[],
        drop_capabilities=[],
        seccomp="Unconfined",
        app_armor="Unconfined",
        masked_paths=MASKED_PATHS,
        read_only_paths=READ_ONLY_PATHS,
    )


def test_its_own_wins_over_its_pods() -> None:
    shared = {"runAsUser": 1000, "runAsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    found = merged({}, shared)
    assert (found.user, found.group, found.seccomp) == (1000, 1000, "RuntimeDefault")
    own = {"runAsUser": 0, "runAsGroup": 7, "seccompProfile": {"type": "Unconfined"}}
    found = merged(own, shared)
    assert (found.user, found.group, found.seccomp) == (0, 7, "Unconfined")


def test_groups_of_the_pod_and_of_its_volumes() -> None:
    assert merged({}, {"supplementalGroups": [5, 6], "fsGroup": 7}).groups == [5, 6, 7]
    assert merged({}, {"supplementalGroups": [5, 7], "fsGroup": 5}).groups == [5, 7]


def test_a_group_alone_goes_with_the_images_user() -> None:
    found = merged({"runAsGroup": 7})
    assert (found.user, found.username, found.group) == (0, "", 7)
    found = merged({"runAsGroup": 7}, image=NOBODY)
    assert (found.user, found.username, found.group) == (65534, "", 7)
    found = merged({"runAsGroup": 7}, image=NAMED)
    assert (found.user, found.username, found.group) == (None, "app", 7)
    assert merged({}, image=NOBODY).user is None, "the runtime knows"


def test_what_it_may_do() -> None:
    own = {
        "privileged": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    }
    found = merged(own)
    assert (found.privileged, found.read_only_root, found.no_new_privileges) == (True, True, True)
    assert (found.add_capabilities, found.drop_capabilities) == (["NET_ADMIN"], ["ALL"])
    assert merged({"allowPrivilegeEscalation": True}).no_new_privileges is False


def test_all_of_proc() -> None:
    found = merged({"procMount": "Unmasked"})
    assert (found.masked_paths, found.read_only_paths) == ((), ())


POD = '(pod: "web_shop(u1)", container: main)'


@pytest.mark.parametrize(
    ("own", "shared", "image", "words"),
    [
        ({"runAsNonRoot": True}, {}, IMAGE, f"container has runAsNonRoot and image will run as root {POD}"),
        ({}, {"runAsNonRoot": True}, IMAGE, f"container has runAsNonRoot and image will run as root {POD}"),
        (
            {"runAsNonRoot": True},
            {},
            msgspec.structs.replace(IMAGE, user=0),
            f"container has runAsNonRoot and image will run as root {POD}",
        ),
        (
            {"runAsNonRoot": True, "runAsUser": 0},
            {"runAsUser": 5},
            NOBODY,
            f"container's runAsUser breaks non-root policy {POD}",
        ),
        (
            {"runAsNonRoot": True},
            {},
            NAMED,
            "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root " + POD,
        ),
    ],
)
def test_root_is_refused(own: dict[str, Any], shared: dict[str, Any], image: Image, words: str) -> None:
    with pytest.raises(NotYet) as caught:
        merged(own, shared, image)
    assert (caught.value.reason, caught.value.message) == ("CreateContainerConfigError", words)


@pytest.mark.parametrize(
    ("own", "shared", "image"),
    [
        ({"runAsNonRoot": True}, {}, NOBODY),
        ({"runAsNonRoot": True}, {"runAsUser": 5}, NAMED),
        ({"runAsNonRoot": True, "runAsUser": 5}, {"runAsUser": 0}, IMAGE),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True}, IMAGE),
    ],
)
def test_others_are_not(own: dict[str, Any], shared: dict[str, Any], image: Image) -> None:
    merged(own, shared, image)


# --- profiles of the node ---------------------------------------------------------------------------------


def local(name: str) -> dict[str, Any]:
    return {"seccompProfile": {"type": "Localhost", "localhostProfile": name}}


def test_a_profile_of_the_node(tmp_path: Path) -> None:
    folder = tmp_path / "seccomp"
    (folder / "team").mkdir(parents=True)
    (folder / "team" / "strict.json").write_text("{}")
    (folder / "link.json").symlink_to("team/strict.json")
    expected = f"localhost/{folder}/team/strict.json"
    assert merged(local("team/strict.json"), profiles=folder).seccomp == expected
    assert merged(local("link.json"), profiles=folder).seccomp == expected


@pytest.mark.parametrize(
    "name", ["none.json", "team", "../secret.json", "/etc/passwd", "out.json", "", "a\0b", "over/secret.json"]
)
def test_nothing_leads_out_of_their_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "seccomp"
    (folder / "team").mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    (folder / "out.json").symlink_to(tmp_path / "secret.json")
    (folder / "over").symlink_to(tmp_path)
    with pytest.raises(NotYet, match="cannot load seccomp profile") as caught:
        merged(local(name), profiles=folder)
    assert caught.value.reason == "CreateContainerError"


# --- AppArmor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "there", "expected"),
    [
        (None, True, ""),
        (None, False, "Unconfined"),
        ({"type": "Unconfined"}, False, "Unconfined"),
        ({"type": "RuntimeDefault"}, True, "RuntimeDefault"),
        ({"type": "Localhost", "localhostProfile": "ours"}, True, "localhost/ours"),
    ],
)
def test_app_armor(profile: dict[str, Any] | None, there: bool, expected: str) -> None:
    own = {"appArmorProfile": profile} if profile else {}
    assert merged(own, app_armor=there).app_armor == expected


@pytest.mark.parametrize("kind", ["RuntimeDefault", "Localhost"])
def test_who_asks_to_be_confined_does_not_run_otherwise(kind: str) -> None:
    with pytest.raises(NotYet, match="AppArmor is not enabled on the host"):
        merged({"appArmorProfile": {"type": kind}})


# --- sandboxes --------------------------------------------------------------------------------------------


def test_a_privileged_container_has_a_privileged_sandbox() -> None:
    plain, strong = container("a"), container("b", securityContext={"privileged": True})
    assert sandbox_security(pod(plain)).privileged is False
    assert sandbox_security(pod(plain, strong)).privileged is True
    early = pod(plain)
    early.spec.init_containers = [strong]
    assert sandbox_security(early).privileged is True
