"""kubectl on a cluster that works: what controllers, scheduler and nodes make of what it asks for, as on Kubernetes.

What timing decides is not compared: transcripts wait for what is certain (`$~`), and look at that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from golden import REWRITE
from kmini_process import Server
from kubectl_binaries import Kubectl
from kubectl_output import without_generated
from kubectl_shell import Shell
from transcripts import play

HERE = Path(__file__).parent
TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.txt"))


@pytest.fixture
def shell(kubectl: Kubectl, cluster: Server, transcript: Path, tmp_path: Path) -> Iterator[Shell]:
    """In the transcript's namespace, which is gone with all that is in it when the next kubectl comes."""
    one = Shell(kubectl, cluster.data_dir / "kubeconfig", tmp_path / "work", HERE / "files")
    one.use_namespace(transcript.stem)
    yield one
    one.ok(f"delete namespace {transcript.stem}")


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript(kubectl: Kubectl, shell: Shell, transcript: Path) -> None:
    def run(command: str) -> tuple[str, int]:
        printed, code = shell.run(command)
        return without_generated(printed), code

    problems = play(transcript, kubectl.minor, run, rewrite=os.environ.get(REWRITE) == "1")
    assert not problems, f"kubectl {kubectl}: {REWRITE}=1 writes it anew\n\n" + "\n\n".join(problems)
