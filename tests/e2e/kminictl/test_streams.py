"""exec, attach, cp and port-forward of real containers by kminictl: the very tests of kubectl's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from container_agent import soon
from kmini_process import Server
from kubectl_binaries import MISSING, binaries
from kubectl_shell import Shell

_PATH = Path(__file__).resolve().parents[1] / "streams" / "test_kubectl.py"
_SPEC = spec_from_file_location("kubectl_streams", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
_KUBECTL = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_KUBECTL)

#: Tests and what they need, by their names.
globals().update(
    {
        name: found
        for name, found in vars(_KUBECTL).items()
        if name.startswith("test_") or name in ("pods", "forwarding")
    }
)


def test_logs(kubectl: Shell) -> None:
    assert "ready\n" in kubectl.ok("logs talk")
    assert kubectl.ok("logs talk --tail=0") == ""
    assert kubectl.ok("logs talk --prefix").startswith("[pod/talk/main] ready\n")
    following = kubectl.start(["logs", "-f", "talk"])
    try:
        assert following.stdout is not None
        assert following.stdout.readline() == "ready\n"
    finally:
        following.kill()
        following.communicate()


def test_a_pod_that_is_talked_to_once(kubectl: Shell) -> None:
    """A runtime passes on what comes in before what goes out, so it says what it has heard a moment later."""
    image = kubectl.ok("get pod web -o jsonpath={.spec.containers[0].image}")
    script = "cat > /heard; sleep 2; cat /heard"
    run = f"kubectl run once -i --rm --restart=Never --image={image} --command -- sh -c '{script}'"
    text, code = kubectl.run(f"echo hello | {run}")
    assert code == 0, text
    assert text == 'hello\npod "once" deleted from default namespace\n'


def test_how_a_pod_ended_that_was_run_once(kubectl: Shell) -> None:
    """It ends once it was heard: what is said before anybody listens is in its log, and nobody asks for that then."""
    image = kubectl.ok("get pod web -o jsonpath={.spec.containers[0].image}")
    run = ["run", "ended", "-q", "--attach", "--rm", "--restart=Never", f"--image={image}", "--command"]
    script = "until test -f /heard; do echo says; sleep 0.2; done; exit 7"
    running = kubectl.start([*run, "--", "sh", "-c", script])
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "says\n"
        kubectl.ok("exec ended -- touch /heard")
        *_, deleted, ended = running.stdout
        assert running.wait() == 7
    finally:
        running.kill()
        running.communicate()
    assert deleted == 'pod "ended" deleted from default namespace\n'
    assert ended == "pod default/ended terminated (Error)\n"


@pytest.mark.parametrize("asked", ["nodes", "pods", "pods -A --sum", "pods --containers --sort-by=memory", "pod web"])
def test_what_is_used_is_told_as_by_kubectl(kubectl: Shell, server: Server, tmp_path: Path, asked: str) -> None:
    """The server keeps its answer for some seconds: both are told the same, or are asked again."""
    found = binaries()
    if not found:
        pytest.skip(MISSING)
    other = Shell(found[0], server.data_dir / "kubeconfig", tmp_path / "other")
    soon(lambda: kubectl.run(f"kubectl top {asked}")[1] == 0, "there are measurements")

    def same() -> bool:
        with ThreadPoolExecutor(2) as pool:
            ours, theirs = pool.map(lambda shell: shell.run(f"kubectl top {asked}"), (kubectl, other))
        return bool(ours == theirs)

    soon(same, "both say the same")
