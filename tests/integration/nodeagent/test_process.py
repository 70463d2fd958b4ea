"""`kmini agent` as a process: its one line, its exit codes, its restarts, and many simulated nodes in one."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kmini.addresses import own_address
from kmini_process import Server, environment, eventually, kmini, running
from ports import free_ports

READY_S = 120.0
ENDED_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server("a", tmp_path_factory.mktemp("server") / "a", "--controllers", "none")
    with running(made):
        yield made


def url(server: Server) -> str:
    return f"https://127.0.0.1:{server.api_port}"


#: In a network of its own, in which no way leads anywhere.
NOWHERE = ("unshare", "--net")


@contextmanager
def agent(*arguments: object, log: Path, where: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """The process, ended at last."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*where, sys.executable, "-m", "kmini", "agent", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=environment(),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ready_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    assert line, f"it did not become ready:\n{log.read_text()[-3000:]}"
    return line


def one_node(server: Server, folder: Path, name: str = "n1", *more: object) -> list[object]:
    return ["--server", url(server), "--node-name", name, "--data-dir", folder, "--runtime", "fake", *more]


def node(server: Server, name: str) -> dict[str, Any]:
    from kmini.api import api_request
    from kmini.layout import Layout

    return api_request(Layout(server.data_dir), "GET", f"/api/v1/nodes/{name}")


def test_it_joins_runs_ends_and_comes_back_without_a_token(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = one_node(server, tmp_path / "n1")
    with agent(*arguments, "--token-file", server.data_dir / "token", log=log) as process:
        assert ready_line(process, log).startswith(f"n1 is ready: {own_address()}, runtime fake, https://127.0.0.1:")
        found = node(server, "n1")
        assert found["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.33.0+kmini.")
        assert {each["type"]: each["status"] for each in found["status"]["conditions"]}["Ready"] == "True"
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0
    with agent(*arguments, log=log) as process:
        ready_line(process, log)
        second = kmini("agent", *arguments)
        assert (second.returncode, second.stderr) == (
            1,
            f"error: process {process.pid} runs an agent on {tmp_path / 'n1'} already\n",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"joined the cluster", "the node is registered", "stopping"} <= {line["message"] for line in lines}
    secret = (server.data_dir / "token").read_text().strip().rpartition(".")[2]
    assert secret not in log.read_text()


def test_a_server_that_comes_later_is_waited_for(server: Server, tmp_path: Path) -> None:
    """It keeps asking, and says so; the signal ends it at any time."""
    log = tmp_path / "log"
    nobody = f"https://127.0.0.1:{free_ports(1)[0]}"
    arguments = ["--server", nobody, "--node-name", "n5", "--data-dir", tmp_path / "n5", "--runtime", "fake"]
    with agent(*arguments, "--token-file", server.data_dir / "token", log=log) as process:
        eventually(lambda: "waiting for a server to join through" in log.read_text(), what="a word about it")
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0


@pytest.fixture
def nowhere() -> None:
    if subprocess.run([*NOWHERE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make network namespaces")


@pytest.mark.usefixtures("nowhere")
def test_it_starts_again_when_no_way_leads_to_a_server(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = one_node(server, tmp_path / "n6", "n6")
    with agent(*arguments, "--token-file", server.data_dir / "token", log=log) as process:
        ready_line(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0
    log.write_text("")
    with agent(*arguments, log=log, where=NOWHERE) as process:
        eventually(lambda: '"what": "register"' in log.read_text(), what="it goes on, and asks again and again")
        told = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        last = next(
            line for line in told if line["message"] == "no way leads to a server: the node has its last address"
        )
        assert last["address"] == own_address()
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0


@pytest.mark.usefixtures("nowhere")
def test_a_first_start_without_a_way_to_a_server_is_one_line(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = [*one_node(server, tmp_path / "n7", "n7"), "--kubeconfig", server.data_dir / "kubeconfig"]
    with agent(*arguments, log=log, where=NOWHERE) as process:
        assert process.wait(READY_S) == 1
    errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    assert errors == [f"error: no way leads from this machine to {url(server)}: Network is unreachable"]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return said[0].removeprefix("error: ")


@pytest.mark.parametrize(
    "content", ["", "K1", "K10abc.abcdef.0123456789abcdef", "K9" + "0" * 64 + ".abcdef.0123456789abcdef", "\0" * 5000]
)
def test_a_bad_token_file_is_one_line(server: Server, tmp_path: Path, content: str) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    done = kmini("agent", *one_node(server, tmp_path / "n2", "n2"), "--token-file", token)
    assert done.returncode == 1
    assert one_line(done).startswith(f"cannot use the token in {token}: ")


def test_another_clusters_token_is_one_line(server: Server, tmp_path: Path) -> None:
    text = (server.data_dir / "token").read_text()
    token = tmp_path / "token"
    token.write_text("K1" + "f" * 64 + text[66:])
    done = kmini("agent", *one_node(server, tmp_path / "n2", "n2"), "--token-file", token)
    assert done.returncode == 1
    assert "is not a server of the cluster this token is for" in one_line(done)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runtime", "fake"], "--server says where the cluster is"),
        (["--server", "ftp://x", "--runtime", "fake"], "is no address of a server"),
        (["--server", "https://127.0.0.1:1", "--simulate", "3"], "--simulate goes with --runtime fake"),
        (["--server", "https://127.0.0.1:1", "--runtime", "fake", "--simulate", "3"], "--simulate needs --kubeconfig"),
        (["--server", "https://127.0.0.1:1", "--runtime", "docker"], "'docker' is not one of"),
    ],
)
def test_bad_usage(arguments: list[str], words: str) -> None:
    done = kmini("agent", "--node-name", "n3", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_bad_names() -> None:
    done = kmini("agent", "--node-name", "No_Name", "--server", "https://127.0.0.1:1", "--runtime", "fake")
    assert done.returncode == 2
    assert "RFC 1123" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runtime", "fake", "--containerd-socket", "/s"], "goes with --runtime containerd"),
        (["--cgroup", "n3"], "from the top"),
        (["--cgroup", "/n3/../.."], "from the top"),
        (["--cgroup", "/"], "from the top"),
    ],
)
def test_flags_of_containerd(arguments: list[str], words: str) -> None:
    done = kmini("agent", "--node-name", "n3", "--server", "https://127.0.0.1:1", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_simulated_nodes(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    kubeconfig = server.data_dir / "kubeconfig"
    arguments = ["--kubeconfig", kubeconfig, "--node-name", "sim", "--runtime", "fake", "--simulate", 20]
    with agent(*arguments, log=log) as process:
        assert ready_line(process, log) == "sim-1 to sim-20 are ready: 20 simulated nodes\n"
        assert node(server, "sim-20")["status"]["capacity"]["pods"] == "110"
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDED_S) == 0
