"""A shell in which `kubectl` is one binary, with a home, a kubeconfig, a namespace and a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kubectl_binaries import Kubectl

COMMAND_TIMEOUT_S = 240.0


class Shell:
    """`folder` becomes the working directory; `files` are copied into it."""

    def __init__(self, kubectl: Kubectl, kubeconfig: Path, folder: Path, files: Path | None = None) -> None:
        self.kubectl = kubectl
        self.folder = folder
        if files is not None:
            shutil.copytree(files, folder, dirs_exist_ok=True)
        self._home = folder.parent / f"{folder.name}-home"
        programs = self._home / "bin"
        programs.mkdir(parents=True)
        folder.mkdir(exist_ok=True)
        (programs / "kubectl").symlink_to(kubectl.path)
        self.kubeconfig = self._home / "config"
        shutil.copy(kubeconfig, self.kubeconfig)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "KUBECONFIG": str(self.kubeconfig),
            "TMPDIR": str(self._home),
            "LC_ALL": "C",
            "TZ": "UTC",
        }

    def use_namespace(self, namespace: str) -> None:
        """Create it and make it the one of commands that name none."""
        self.ok(f"create namespace {namespace}")
        self.ok(f"config set-context --current --namespace={namespace}")

    def run(self, command: str) -> tuple[str, int]:
        """Standard output and error as they come, and the exit code."""
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            cwd=self.folder,
            env=self.environment,
            check=False,
        )
        return done.stdout, done.returncode

    def ok(self, arguments: str) -> str:
        """The output of a kubectl that must succeed."""
        printed, code = self.run(f"kubectl {arguments}")
        assert code == 0, f"kubectl {arguments}: {printed}"
        return printed

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """kubectl in the background, its output line by line. The caller ends it."""
        return subprocess.Popen(
            [str(self.kubectl.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            cwd=self.folder,
            env=self.environment,
        )

    @contextmanager
    def forwarding(self, *arguments: str, port: int = 8080) -> Iterator[int]:
        """The local port that leads there. `arguments`: what to, and options."""
        process = self.start(["port-forward", *arguments, f":{port}"])
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            os.set_blocking(process.stdout.fileno(), False)
            yield int(line.split("127.0.0.1:")[1].split(" ")[0])
        finally:
            process.kill()
            process.wait()  # what is read is not waited for: there must be an end
            process.communicate()
