"""exec, attach, cp and port-forward by kubectl, through a real server and a real agent, to a real container."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from container_agent import PODS, asked, container, make_pod, phase, soon, wait_serving
from container_host import Host
from kmini.images import SAMPLE
from kmini_process import Server
from kubectl_shell import Shell
from terminal import terminal

MIB = 1024 * 1024
LARGE_MIB = 64


@pytest.fixture(scope="module", autouse=True)
def pods(host: Host, server: Server) -> Iterator[None]:
    make_pod(server, "web", {"name": "main", "image": SAMPLE})
    talk = (
        "echo ready; while :; do echo waits; sleep 0.2; done & while :; do read line && echo got $line || sleep 1; done"
    )
    make_pod(server, "talk", container("main", talk, stdin=True))
    soon(lambda: (phase(server, "web"), phase(server, "talk")) == ("Running", "Running"), "the pods run")
    wait_serving(server, "web")
    logs = host.folder / "agent" / "logs"
    soon(lambda: [each for each in logs.glob("default_talk_*/main/0.log") if "ready" in each.read_text()], "talk talks")
    yield
    for name in ("web", "talk"):
        asked(server, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


def test_exit_codes_and_both_outputs(kubectl: Shell) -> None:
    assert kubectl.run("kubectl exec web -- sh -c 'exit 7'") == ("command terminated with exit code 7\n", 7)
    assert kubectl.run("kubectl exec web -- true") == ("", 0)
    assert kubectl.run("kubectl exec web -- sh -c 'echo out; echo err >&2' 2>/dev/null") == ("out\n", 0)
    assert kubectl.run("kubectl exec web -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null") == ("err\n", 0)


def test_a_command_that_is_not_there(kubectl: Shell) -> None:
    text, code = kubectl.run("kubectl exec web -- nosuch")
    assert code == 1
    assert text.startswith("error: Internal error occurred: error executing command in container: ")
    assert 'exec: "nosuch": executable file not found in $PATH' in text


def test_stdin_ends(kubectl: Shell) -> None:
    assert kubectl.run("echo x | kubectl exec -i web -- cat") == ("x\n", 0)
    assert kubectl.run("kubectl exec -i web -- cat") == ("", 0), "from /dev/null"
    assert kubectl.run("printf '3\\n1\\n2\\n' | kubectl exec -i web -- sort") == ("1\n2\n3\n", 0)


def test_much_goes_through_whole(kubectl: Shell) -> None:
    (kubectl.folder / "much").write_bytes(hashlib.shake_256(b"much").digest(MIB) * LARGE_MIB)
    assert kubectl.run("kubectl exec -i web -- cat < much | cmp - much") == ("", 0)


def test_the_last_words_are_never_lost(kubectl: Shell) -> None:
    """A command writes much, and ends at once."""
    ask = "for i in $(seq 20); do kubectl exec web -- sh -c 'seq 1 50000; exit 3' 2>&1 | md5sum; done | sort -u"
    expected = "".join(f"{each}\n" for each in range(1, 50001)) + "command terminated with exit code 3\n"
    assert kubectl.run(ask) == (f"{hashlib.md5(expected.encode()).hexdigest()}  -\n", 0)


def test_copies_both_ways(kubectl: Shell) -> None:
    data = hashlib.shake_256(b"copied").digest(5 * MIB)
    folder = kubectl.folder / "folder"
    folder.mkdir()
    (folder / "large").write_bytes(data)
    (folder / "small").write_text("small\n")
    assert kubectl.run("kubectl cp folder web:/tmp/copied") == ("", 0)
    assert kubectl.ok("exec web -- cat /tmp/copied/small") == "small\n"
    text, code = kubectl.run("kubectl cp web:/tmp/copied back")
    assert code == 0, text
    assert (kubectl.folder / "back" / "large").read_bytes() == data
    assert (kubectl.folder / "back" / "small").read_text() == "small\n"
    kubectl.ok("exec web -- rm -r /tmp/copied")


def test_a_terminal(kubectl: Shell) -> None:
    command = ["kubectl", "exec", "-it", "web", "--", "sh"]
    with terminal(command, columns=91, rows=33, env=kubectl.environment, cwd=kubectl.folder) as shown:
        shown.wait_for("# ")
        shown.type("until [ \"$(stty size)\" = '33 91' ]; do sleep 0.1; done; stty size; tty\n")
        shown.wait_for("\r\n33 91\r\n/dev/pts/")
        shown.resize(120, 40)
        shown.type("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo resi''zed\n")
        shown.wait_for("resized\r\n")
        shown.type("sh -c 'echo be\"\"gun; exec sleep 1000'\n")
        shown.wait_for("begun\r\n")  # by who has the terminal then: a shell that starts something defers what it hears
        shown.type("\x03")
        shown.wait_for("# ")
        shown.type("exit 5\n")
        assert shown.exit_code() == 5


def test_attach(kubectl: Shell) -> None:
    attached = subprocess.Popen(
        ["kubectl", "attach", "-i", "talk"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kubectl.environment,
        text=True,
    )
    try:
        assert attached.stdin is not None
        assert attached.stdout is not None
        assert "waits\n" in attached.stdout  # a runtime passes on what comes in before what goes out
        for word in ("one", "two"):
            attached.stdin.write(f"{word}\n")
            attached.stdin.flush()
            assert next(line for line in attached.stdout if line != "waits\n") == f"got {word}\n"
    finally:
        attached.kill()
        attached.communicate()


def test_a_client_that_is_killed_ends_what_reads_from_it(kubectl: Shell) -> None:
    reading = subprocess.Popen(
        ["kubectl", "exec", "-i", "web", "--", "sh", "-c", "echo begun; cat; : marked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=kubectl.environment,
    )
    try:
        assert reading.stdout is not None
        assert reading.stdout.readline() == b"begun\n"
        assert "marked" in kubectl.ok("exec web -- ps")
        reading.send_signal(signal.SIGKILL)
        soon(lambda: "marked" not in kubectl.ok("exec web -- ps"), "the end of the command")
    finally:
        reading.kill()
        reading.communicate()


def test_ports_with_many_connections_at_once(kubectl: Shell) -> None:
    def ask(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer:
            return str(answer.read().decode())

    with kubectl.forwarding("pod/web") as port, ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, [port] * 60)) == ["web\n"] * 60


def test_a_large_file_comes_through_a_port(kubectl: Shell, tmp_path: Path) -> None:
    kubectl.ok(f"exec web -- sh -c 'yes | head -c {LARGE_MIB * MIB} > /www/large'")
    with (
        kubectl.forwarding("pod/web") as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/large", timeout=120) as answer,
    ):
        assert answer.read() == b"y\n" * (LARGE_MIB * MIB // 2)
    kubectl.ok("exec web -- rm /www/large")
