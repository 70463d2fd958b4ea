"""kminictl plays kubectl's transcripts: what they print and how they end, by the newest kubectl's lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kmini_process import Server, running
from kminictl_program import NEWEST_MINOR, kminictl_program
from kubectl_binaries import Kubectl
from kubectl_output import normalised, without_generated
from kubectl_shell import Shell
from ports import free_ports
from transcripts import parse, play
from working_cluster import working_cluster

CLIENTS = Path(__file__).resolve().parents[1]
ALONE, WORKING = CLIENTS / "transcripts", CLIENTS / "working" / "transcripts"
#: Commands that kminictl has not, or answers in other words; the remark before each says why.
DIFFERENT = {step.command[0] for step in parse((Path(__file__).parent / "differences.txt").read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def kminictl(tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return kminictl_program(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    peer_port, api_port = free_ports(2)
    server = Server("n1", tmp_path_factory.mktemp("alone") / "n1", ports=(peer_port, 0, api_port))
    with running(server):
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with working_cluster(tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.mark.parametrize("name", sorted(path.stem for path in ALONE.glob("*.txt")))
def test_with_a_server_alone(kminictl: Kubectl, alone: Server, name: str, tmp_path: Path) -> None:
    shell = Shell(kminictl, alone.data_dir / "kubeconfig", tmp_path / "work", CLIENTS / "files")
    shell.use_namespace(name)
    _play(ALONE / f"{name}.txt", shell, lambda text: normalised(text), tmp_path)


@pytest.mark.parametrize("name", sorted(path.stem for path in WORKING.glob("*.txt")))
def test_with_a_working_cluster(kminictl: Kubectl, cluster: Server, name: str, tmp_path: Path) -> None:
    shell = Shell(kminictl, cluster.data_dir / "kubeconfig", tmp_path / "work", CLIENTS / "working" / "files")
    shell.use_namespace(name)
    try:
        _play(WORKING / f"{name}.txt", shell, lambda text: without_generated(text), tmp_path)
    finally:
        shell.ok(f"delete namespace {name}")


def _play(transcript: Path, shell: Shell, clean: object, tmp_path: Path) -> None:
    assert callable(clean)
    wanted = [step for step in parse(transcript.read_text(encoding="utf-8")) if step.command[0] not in DIFFERENT]
    copy = tmp_path / transcript.name
    copy.write_text("\n\n".join(map(str, wanted)) + "\n", encoding="utf-8")

    def run(command: str) -> tuple[str, int]:
        printed, code = shell.run(command)
        return clean(printed.replace("kminictl", "kubectl")), code

    problems = play(copy, NEWEST_MINOR, run, rewrite=False)
    assert not problems, "kminictl differs from kubectl\n\n" + "\n\n".join(problems)
