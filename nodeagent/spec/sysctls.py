"""Which kernel parameters a pod may set: its own ones that can do the node no harm, as Kubernetes lists them."""

from __future__ import annotations

from apiserver.api.core.pod import Pod

FORBIDDEN = "SysctlForbidden"
_IPC = ("kernel.shm_rmid_forced",)
_NETWORK = (
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)


def sysctls_of(pod: Pod) -> dict[str, str]:
    context = pod.spec.security_context
    return {_dotted(each.name): each.value for each in context.sysctls} if context is not None else {}


def forbidden_sysctl(pod: Pod) -> str:
    """Why the node does not take the pod; "" when it does."""
    for name in sysctls_of(pod):
        if name not in _IPC + _NETWORK:
            return f'forbidden sysctl: "{name}" not allowlisted'
        if name in _IPC and pod.spec.host_ipc:
            return f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
        if name in _NETWORK and pod.spec.host_network:
            return f'forbidden sysctl: "{name}" not allowed with host net enabled'
    return ""


def _dotted(name: str) -> str:
    """`net/ipv4/x` is another way to write `net.ipv4.x`."""
    first = next((each for each in name if each in "./"), ".")
    return name if first == "." else name.translate({ord("/"): ".", ord("."): "/"})
