"""What a pod is called: by itself, by others, and in messages."""

from __future__ import annotations

from apiserver.api.core.pod import Pod
from nodeagent.house import NotYet

LABEL_CHARACTERS_MAX = 63
HOSTNAME_CHARACTERS_MAX = 64  # the kernel's


def told(pod: Pod) -> str:
    """As messages name it."""
    meta = pod.metadata
    return f"{meta.name}_{meta.namespace}({meta.uid})"


def short_name(pod: Pod) -> str:
    """Its hostname, a label: the name of a pod may be longer."""
    name = pod.spec.hostname or pod.metadata.name
    return name if len(name) <= LABEL_CHARACTERS_MAX else name[:LABEL_CHARACTERS_MAX].rstrip("-.")


def domain_of(pod: Pod, cluster_domain: str) -> str:
    """What follows its hostname in its full name; "" for a pod without one."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def kernel_name(pod: Pod, cluster_domain: str) -> str:
    """What `hostname` says in it. Raises NotYet."""
    name, domain = short_name(pod), domain_of(pod, cluster_domain)
    if not pod.spec.set_hostname_as_fqdn or not domain:
        return name
    full = f"{name}.{domain}"
    if len(full) > HOSTNAME_CHARACTERS_MAX:
        words = (
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({HOSTNAME_CHARACTERS_MAX} characters is the max, {len(full)} characters requested)"
        )
        raise NotYet("ContainerCreating", words, event="FailedCreatePodSandBox")
    return full
