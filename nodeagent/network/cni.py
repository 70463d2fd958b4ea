"""The default network of a node's pods: a bridge, addresses from the node's pod CIDR, and host ports.

Written as a CNI network configuration list, which the container runtime reads. Traffic that leaves the cluster is
masqueraded elsewhere: the bridge's own way would also hide pods from the pods of other nodes.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

from nodeagent.identity import write_file

BRIDGE = "kmini0"
NETWORK = "kmini"
CNI_VERSION = "1.0.0"
FILE_NAME = "10-kmini.conflist"
MTU = 1500
_SUFFIXES = (".conf", ".conflist", ".json")  # those that are read


def conflist(pod_cidr: str, *, leases: Path, bridge: str = BRIDGE, mtu: int = MTU) -> dict[str, Any]:
    """`leases`: the folder where given addresses are kept. Raises ValueError for what is no network."""
    network = ipaddress.ip_network(pod_cidr)
    everywhere = "0.0.0.0/0" if network.version == 4 else "::/0"
    return {
        "cniVersion": CNI_VERSION,
        "name": NETWORK,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": True,
                "hairpinMode": True,  # a pod reaches itself through a Service
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(network)}]],
                    "routes": [{"dst": everywhere}],
                    "dataDir": str(leases),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def write_conflist(folder: Path, pod_cidr: str, *, leases: Path, bridge: str = BRIDGE, mtu: int = MTU) -> bool:
    """Whether it is new. Somebody else's network is left alone. Raises ValueError, AgentError."""
    content = json.dumps(conflist(pod_cidr, leases=leases, bridge=bridge, mtu=mtu), indent=1).encode()
    path = folder / FILE_NAME
    if any(each.suffix in _SUFFIXES and each != path for each in folder.glob("*")):
        return False
    if path.is_file() and path.read_bytes() == content:
        return False
    write_file(path, content)
    return True
