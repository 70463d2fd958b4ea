"""exec, attach, cp and port-forward of real containers by kminictl: the very tests of kubectl's."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

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
    image = kubectl.ok("get pod web -o jsonpath={.spec.containers[0].image}")
    text, code = kubectl.run(f"echo hello | kubectl run once -i --rm --restart=Never --image={image} --command -- cat")
    assert code == 0, text
    assert text == 'hello\npod "once" deleted from default namespace\n'


def test_what_is_used(kubectl: Shell) -> None:
    headers = kubectl.ok("top nodes").splitlines()[0].split()
    assert headers == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
