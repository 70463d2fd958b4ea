"""kubectl and kminictl print the same, byte for byte, when they are asked the same at the same moment.

No two programs are asked at the same moment for sure: where ages are shown, kminictl's may also lie between those of a
kubectl before it and of one after it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kminictl_program import kminictl_program
from kubectl_binaries import MISSING, Kubectl, installed
from kubectl_shell import COMMAND_TIMEOUT_S, Shell
from working_cluster import working_cluster

HERE = Path(__file__).parent
COMMANDS = [line for line in (HERE / "commands.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
MANIFESTS = ("pods.yaml", "web.yaml", "kinds.yaml", "accounts.yaml")
TRIES = 6  # leases move between two programs; they rarely do so twice
Printed = tuple[str, str, int]
_AGE = re.compile(r"\b(?:[0-9]+[smhdy])+\b")
_GAP = re.compile(r" {2,}|\t+")  # columns are as wide as the widest age
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 31536000}


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, Shell]]:
    """kubectl's and kminictl's, with the same files and the same namespace."""
    found = installed()
    if not found:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("side-by-side")
    (folder / "cluster").mkdir()
    with working_cluster(folder / "cluster") as server:
        config, files = server.data_dir / "kubeconfig", HERE.parent / "files"
        kubectl = Shell(Kubectl(max(found), found[max(found)]), config, folder / "kubectl", files)
        kminictl = Shell(kminictl_program(folder), config, folder / "kminictl-work", files)
        kubectl.use_namespace("side")
        kminictl.ok("config set-context --current --namespace=side")
        kubectl.ok("apply " + " ".join(f"-f {name}" for name in MANIFESTS))
        kubectl.ok("rollout status deployment/web")
        kubectl.ok("wait --for=condition=Ready pods --all")
        yield kubectl, kminictl


def _printed(shell: Shell, command: str) -> Printed:
    done = subprocess.run(
        ["bash", "-c", f"kubectl {command}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=shell.folder,
        env=shell.environment,
        check=False,
    )
    return done.stdout, done.stderr.replace("kminictl", "kubectl"), done.returncode


def _shape(printed: Printed) -> Printed:
    out, errors = (_GAP.sub("  ", _AGE.sub("AGE", text)) for text in printed[:2])
    return out, errors, printed[2]


def _ages_s(printed: Printed) -> list[int]:
    found = _AGE.findall(printed[0] + printed[1])
    return [sum(int(count) * _UNITS_S[unit] for count, unit in re.findall("([0-9]+)([smhdy])", age)) for age in found]


def _lies_between(printed: Printed, before: Printed, after: Printed) -> bool:
    """Nothing but ages may differ, and none is less than before or more than after."""
    if not _shape(before) == _shape(printed) == _shape(after):
        return False
    ages = zip(_ages_s(before), _ages_s(printed), _ages_s(after), strict=True)
    return all(first <= age <= last for first, age, last in ages)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_words(shells: tuple[Shell, Shell], command: str) -> None:
    kubectl, kminictl = shells
    with ThreadPoolExecutor(2) as pool:
        for _ in range(TRIES):
            expected, printed = pool.map(lambda shell: _printed(shell, command), shells)
            if expected == printed:
                return
            before, printed, expected = (_printed(each, command) for each in (kubectl, kminictl, kubectl))
            if _lies_between(printed, before, expected):
                return
    assert printed == expected


def test_what_lies_between_two_moments() -> None:
    at = {age: (f"NAME   AGE\none    {age}\n", "", 0) for age in ("59s", "61s", "2m1s", "2m5s")}
    assert _lies_between(at["61s"], at["59s"], at["2m1s"])
    assert _lies_between(at["61s"], at["61s"], at["61s"])
    assert not _lies_between(at["59s"], at["61s"], at["2m1s"])
    assert not _lies_between(at["2m5s"], at["61s"], at["2m1s"])
    other = ("NAME   AGE\ntwo    61s\n", "", 0)
    assert not _lies_between(other, at["59s"], at["2m1s"])


def test_watches_show_the_same_changes(shells: tuple[Shell, Shell]) -> None:
    """Both begin with what is there, and are told of one pod from its first moment to its last."""
    asked = ["get", "pods", "-l", "watched=yes", "-w", "--output-watch-events", "--no-headers"]
    kubectl, kminictl = shells
    kubectl.ok("run there --image=x --labels=watched=yes")
    kubectl.ok("wait --for=condition=Ready pod/there")
    watching = [shell.start(asked) for shell in shells]
    try:
        seen = [_of(_until(each, "ADDED", "there"), "there") for each in watching]
        assert seen[0] == seen[1]
        kubectl.ok("run first --image=x --labels=watched=yes")
        kminictl.ok("wait --for=condition=Ready pod/first")
        kminictl.ok("delete pod first")
        seen = [_of(_until(each, "DELETED", "first"), "first") for each in watching]
    finally:
        for each in watching:
            each.kill()
            each.communicate()
        kubectl.ok("delete pod there")
    assert seen[0] == seen[1]


def _of(lines: list[list[str]], name: str) -> list[list[str]]:
    """A watch that began later has seen less of the others."""
    return [line for line in lines if name in line]


def _until(process: subprocess.Popen[str], *words: str) -> list[list[str]]:
    """The lines up to the one with these words, without their ages."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.split()[:-1])
        if all(word in line for word in words):
            return lines
    raise AssertionError(f"the watch ended before it said {words}: {lines}")
