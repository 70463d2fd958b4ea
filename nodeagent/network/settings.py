"""What a node knows of the cluster's network: asked of the API when the agent starts, and kept on disk for a start
without the API.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path
from random import Random

import msgspec

from apiserver.api.cluster_network import NAME, NAMESPACE, ClusterNetwork, from_config_map
from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import ApiError
from apiserver.client import Client
from apiserver.client.retry import Backoff
from nodeagent.errors import AgentError
from nodeagent.identity import write_file

log = logging.getLogger(__name__)

FILE_NAME = "network.json"
ASKED_FOR_S = 5.0
_AGAIN = Backoff(first_s=0.2, longest_s=10.0)
_FILE_BYTES_MAX = 1 << 16


async def cluster_network(client: Client, folder: Path, *, asked_for_s: float = ASKED_FOR_S) -> ClusterNetwork:
    """`folder`: the agent's. Waits for an API that does not answer only while nothing is known from before.

    Raises AgentError for a network that cannot be a node's.
    """
    path, random, failures = folder / FILE_NAME, Random(), 0
    while True:
        try:
            async with asyncio.timeout(asked_for_s):
                found = from_config_map(await client.get(ConfigMap, NAME, namespace=NAMESPACE))
        except (ApiError, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer within {asked_for_s:g} s"
            known = await asyncio.to_thread(_read, path)
            if known is not None:
                log.warning("what was known of the cluster's network counts", extra={"reason": reason})
                return _checked(known)
            log.warning("waiting for what the cluster says of its network", extra={"reason": reason})
        else:
            await asyncio.to_thread(_note, path, found)
            return _checked(found)
        await asyncio.sleep(_AGAIN.wait_s(failures, random))
        failures += 1


def _checked(network: ClusterNetwork) -> ClusterNetwork:
    for what in (network.cluster_cidr, network.service_cidr):
        if ipaddress.ip_network(what).version != 4:
            raise AgentError(f"the cluster's network {what} is not IPv4: nodes with containers need IPv4")
    return network


def _note(path: Path, network: ClusterNetwork) -> None:
    """On a disk that takes nothing the node does without."""
    if _read(path) == network:
        return
    try:
        write_file(path, msgspec.json.encode(network))
    except AgentError as error:
        log.warning("the cluster's network was not noted for a start without the API", extra={"error": str(error)})


def _read(path: Path) -> ClusterNetwork | None:
    """None too for a file that is broken: it is written anew."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=ClusterNetwork)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        log.warning(
            "what was known of the cluster's network cannot be read", extra={"file": str(path), "error": str(error)}
        )
        return None
