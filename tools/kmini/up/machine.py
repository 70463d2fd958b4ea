"""What this machine must have before anything is started on it, so that a refusal leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from nodeagent.runtime import cgroups
from nodeagent.runtime.containerd_config import SEARCHED, missing_packages

from ..addresses import NAME
from ..errors import CommandError
from ..images.archive import ImageError
from ..images.sample import BUSYBOX, read_static
from ..layout import Layout
from ..options import DEFAULT_DATA_DIR

_CONFIG_END = "/agent/containerd/config.toml"
_SOCKET_END = "/agent/containerd/state/containerd.sock"
_ARGUMENTS_MAX = 64 * 1024


def check_containers() -> None:
    """Raises CommandError that names everything that is missing for real containers."""
    wanted = [] if os.geteuid() == 0 else ["root"]
    packages = _packages()
    if packages:
        wanted.append(f"the packages {' '.join(packages)}")
    if not wanted and not any(os.access(each, os.W_OK) for each in cgroups.hierarchies()):
        wanted.append("control groups that can be written to")
    if wanted:
        raise CommandError(
            f"real containers need {' and '.join(wanted)}: `make up` as root on Debian or Ubuntu installs what is "
            "missing; `kmini up --runtime fake` goes without, with a --data-dir of your own, and simulates the node"
        )


def check_alone(layout: Layout) -> None:
    """Raises CommandError when another node has its containers where ours would be."""
    for other in _other_nodes(layout):
        raise CommandError(
            f"{other} has a node with containers in this network: two cannot share it, for their bridge, their pods' "
            f"addresses and Services are the same. End it with `kmini down --data-dir {other}`, or take --runtime fake"
        )


def _packages() -> list[str]:
    missing = missing_packages()
    if shutil.which("nft", path=os.pathsep.join(SEARCHED)) is None:
        missing.append("nftables")
    try:
        read_static(BUSYBOX)
    except ImageError:
        missing.append("busybox-static")
    return missing


def check_ports(ports: Mapping[str, int]) -> None:
    """By flag. Raises CommandError for one that is taken, or asked for twice."""
    flags: dict[int, str] = {}
    for flag, port in ports.items():
        if port in flags:
            raise CommandError(f"{flags[port]} and {flag} must differ")
        flags[port] = flag
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended are nobody's
            try:
                probe.bind(("", port))
                probe.listen(1)
            except OSError as error:
                raise CommandError(f"{flag} {port} cannot be used: {error.strerror}: choose another one") from error


def node_name(layout: Layout) -> str:
    """The one that this data directory's node had, else this machine's, as far as that is a name."""
    last = layout.last_agent()
    if last is not None:
        return last.node
    name = socket.gethostname().split(".")[0].lower()
    return name if NAME.fullmatch(name) else "node"


def group_of(layout: Layout) -> str:
    """The control group of the node's containers. Groups are the machine's, whatever namespaces there are, so that of
    a data directory has its own name."""
    if layout.data_dir == DEFAULT_DATA_DIR:
        return "/kmini"
    return f"/kmini-{hashlib.sha256(os.fsencode(layout.data_dir)).hexdigest()[:8]}"


def _other_nodes(layout: Layout) -> Iterator[Path]:
    """Data directories whose containerd or containers run in our network. Root's, or our own: others could name any
    folder, which people are then told to end as root."""
    own = Path(os.path.realpath(layout.data_dir))
    trusted = {0, os.geteuid()}
    network = os.stat("/proc/self/ns/net")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):  # it ended meanwhile
            if folder.stat().st_uid not in trusted:
                continue
            arguments = _arguments(folder)
            ends = [(each, end) for each in arguments for end in (_CONFIG_END, _SOCKET_END) if each.endswith(end)]
            if ends and os.path.samestat(os.stat(folder / "ns/net"), network):
                found = Path(ends[0][0].removesuffix(ends[0][1]))
                if Path(os.path.realpath(found)) != own:
                    yield found


def _arguments(folder: Path) -> list[str]:
    with (folder / "cmdline").open("rb") as file:
        return [os.fsdecode(each) for each in file.read(_ARGUMENTS_MAX).split(b"\0")]
