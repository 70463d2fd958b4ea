"""A host with a boot id of its own is one mount namespace, however often its daemons are started anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kmini.cluster import enter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")
SCRIPT = """
import os, runpy, sys
runpy.run_path({path!r})["have_boot_id"]({boot!r})
print(os.readlink("/proc/self/ns/mnt"), open("/proc/sys/kernel/random/boot_id").read(), flush=True)
sys.stdin.read()
"""


def daemon(boot: Path) -> subprocess.Popen[str]:
    script = SCRIPT.format(path=enter.__file__, boot=str(boot))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def place_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_who_comes_later_sees_what_those_who_are_there_see(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    one, other = tmp_path / "boot/one", tmp_path / "boot/other"
    for each in (one, other):
        each.write_text(each.name)
    running = [daemon(one)]
    try:
        first = place_of(running[0])
        assert first.endswith(" one")
        running.append(daemon(one))
        assert place_of(running[1]) == first
        end(running[0])
        running.append(daemon(one))
        assert place_of(running[2]) == first, "as long as anybody is there"
        running.append(daemon(other))
        elsewhere = place_of(running[3])
        assert elsewhere.endswith(" other")
        assert elsewhere.split()[0] not in (first.split()[0], os.readlink("/proc/self/ns/mnt"))
    finally:
        for process in running:
            end(process)
