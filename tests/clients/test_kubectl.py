"""kubectl, in several versions, prints and does with kmini what it does with Kubernetes: transcripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from golden import REWRITE
from kmini_process import Server
from kubectl_binaries import Kubectl
from kubectl_output import normalised
from kubectl_shell import Shell
from transcripts import play

HERE = Path(__file__).parent
TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript(kubectl: Kubectl, server: Server, transcript: Path, tmp_path: Path) -> None:
    shell = Shell(kubectl, server.data_dir / "kubeconfig", tmp_path / "work", HERE / "files")
    shell.use_namespace(transcript.stem)

    def run(command: str) -> tuple[str, int]:
        printed, code = shell.run(command)
        return normalised(printed), code

    problems = play(transcript, kubectl.minor, run, rewrite=os.environ.get(REWRITE) == "1")
    assert not problems, f"kubectl {kubectl}: {REWRITE}=1 writes it anew\n\n" + "\n\n".join(problems)
