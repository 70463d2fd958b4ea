"""/etc/hosts of a pod: its own names, and those that its spec adds.

The first line is Kubernetes', for tools look for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apiserver.api.core.pod import HostAlias

HEADER = "# Kubernetes-managed hosts file"
_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def hosts_text(ips: Sequence[str], name: str, domain: str, aliases: Sequence[HostAlias]) -> str:
    names = f"{name}.{domain}\t{name}" if domain else name
    lines = [f"{address}\t{known}" for address, known in _LOCAL]
    lines += [f"{each}\t{names}" for each in ips]
    return "\n".join([f"{HEADER}.", *lines, *_added(aliases), ""])


def hosts_text_of_node(node: str, aliases: Sequence[HostAlias]) -> str:
    """For a pod in the node's network; `node`: the node's own file."""
    return "\n".join([f"{HEADER} (host network).", node.rstrip("\n"), *_added(aliases), ""])


def _added(aliases: Sequence[HostAlias]) -> Iterable[str]:
    if aliases:
        yield ""
        yield "# Entries added by HostAliases."
        for each in aliases:
            yield "\t".join([each.ip, *each.hostnames])
