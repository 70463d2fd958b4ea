"""What a pod may ask for and cannot have on a node of ours: it is refused or waits, for to run it otherwise would be
less than it was promised. The words are the kubelet's for a node that cannot.
"""

from __future__ import annotations

from apiserver.api.core.pod import Pod
from nodeagent.house import NotYet


def refusal(pod: Pod) -> tuple[str, str]:
    """Reason and words; both empty when there is none."""
    spec, context = pod.spec, pod.spec.security_context
    if spec.os is not None and spec.os.name != "linux":
        return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
    if context is not None and context.supplemental_groups_policy == "Strict":
        words = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return "SupplementalGroupsPolicyNotSupported", words
    return "", ""


def check_sandbox(pod: Pod) -> None:
    """Raises NotYet."""
    name = pod.spec.runtime_class_name
    if name:
        raise _no_sandbox(f'failed to get sandbox runtime: no runtime for "{name}" is configured')
    if pod.spec.host_users is False:
        raise _no_sandbox("user namespaces are not supported by this node: hostUsers must not be false")


def _no_sandbox(words: str) -> NotYet:
    return NotYet("ContainerCreating", f"Failed to create pod sandbox: {words}", event="FailedCreatePodSandBox")
