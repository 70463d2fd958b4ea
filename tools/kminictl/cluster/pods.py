"""The pod that is meant by `POD`, `pod/NAME` or `deployment/NAME`, and the container in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..failures import CommandError
from .selecting import Selection, targets

if TYPE_CHECKING:
    from .session import Session

JsonObject = dict[str, Any]
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def pod_of(session: Session, word: str, *, verb: str) -> JsonObject:
    """Of a workload, the pod that is likeliest to work. Raises CommandError, ApiError."""
    return likeliest(await pods_of(session, word, verb=verb))


async def pods_of(session: Session, word: str, *, verb: str) -> list[JsonObject]:
    """The pod of that name, or all that a workload or Service selects; at least one."""
    words = (word,) if "/" in word else ("pods", word)
    (target,) = await targets(session, Selection(words=words), verb=verb)
    pod = (await session.catalogue()).find("pods")
    found = await session.api.get(target.resource.kind, target.name, target.namespace)
    if target.resource.kind.kind == "Pod":
        return [found]
    selected = await session.api.list_(pod.kind, target.namespace, labels=_selector(found))
    if not selected:
        raise CommandError(f"no pods of {target} are there")
    return selected


def _selector(obj: JsonObject) -> str:
    from ..verbs.rollout import selector_text

    selector = (obj.get("spec") or {}).get("selector")
    if not selector:
        raise CommandError(f"{obj['kind'].lower()}/{obj['metadata']['name']} selects no pods")
    if obj["kind"] == "Service":
        selector = {"matchLabels": selector}
    return selector_text(selector)


def likeliest(pods: list[JsonObject]) -> JsonObject:
    """As kubectl chooses: one that is ready, for the longest, and of those the oldest."""
    return min(pods, key=_rank)


def _rank(pod: JsonObject) -> tuple[bool, bool, str, str, str]:
    status = pod.get("status") or {}
    ready = [each for each in status.get("conditions") or [] if each["type"] == "Ready" and each["status"] == "True"]
    since = str(ready[0].get("lastTransitionTime") or "") if ready else ""
    metadata = pod["metadata"]
    created = str(metadata.get("creationTimestamp") or "")
    return status.get("phase") != "Running", not ready, since, created, metadata["name"]


def container_names(pod: JsonObject) -> list[str]:
    """In the order in which they are told: containers, then those that come first, then those that came later."""
    spec = pod["spec"]
    fields = ("containers", "initContainers", "ephemeralContainers")
    return [each["name"] for field in fields for each in spec.get(field) or []]


def container_of(session: Session, pod: JsonObject, wanted: str, *, quiet: bool = False) -> str:
    """The one asked for, the one the pod says, or the first; says which when there was a choice."""
    names = container_names(pod)
    if wanted:
        if wanted not in names:
            name, known = pod["metadata"]["name"], ", ".join(_told_names(pod))
            raise CommandError(f"container {wanted} is not valid for pod {name} out of: {known}")
        return wanted
    marked = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if marked in names:
        return str(marked)
    if len(names) > 1 and not quiet:
        session.tell(f'Defaulted container "{names[0]}" out of: {", ".join(_told_names(pod))}')
    return names[0]


def _told_names(pod: JsonObject) -> list[str]:
    kinds = (("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)"))
    return [f"{each['name']}{mark}" for field, mark in kinds for each in pod["spec"].get(field) or []]
