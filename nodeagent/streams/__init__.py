"""exec, attach and port-forward: from a client's connection, through this agent, to a container and back.

    streams = Streams(CriStreaming(runtime.connection))  # nodeagent.runtime.cri_streaming; runtime: a CriRuntime
    return await streams.exec(request, ExecRequest(container_id=..., command=["ls"], stdout=True, stderr=True))
    return await streams.attach(request, AttachRequest(container_id=..., stdin=True, stdout=True, tty=True))
    return await streams.port_forward(request, PortForwardRequest(sandbox_id=...))
    streams.close()  # ends what is open

`request` is aiohttp's, from any handler of its `web.Server`, by GET or POST, authenticated and authorized, still
unanswered. Each call upgrades the connection, serves it until it ends, and gives what the handler has to return. What
is wrong before anything was sent is raised: Refused (with the status to answer), and the runtime's own RuntimeFailure
(NotThere: 404). After that a client is told within the stream it has.

A server that bounds heads, or answers that nobody takes, leaves an upgraded connection alone: from `set_parser` on (a
WebSocket's too) it has no head any more, and may stand still for as long as its client pleases.

Clients speak WebSocket (`v5.channel.k8s.io`, `v4.channel.k8s.io`; for ports `SPDY/3.1+portforward.k8s.io`) or SPDY/3.1;
containerd is spoken to in SPDY/3.1 alone, as only that can end stdin while stdout goes on. What must hold: nothing is
lost on the way, each direction holds a bounded number of bytes, whoever is slow slows the other side down, and when one
side is gone so is the other.
"""

from .interface import AttachRequest, ExecRequest, PortForwardRequest, Refused, StreamingRuntime
from .serving import Streams

__all__ = ["AttachRequest", "ExecRequest", "PortForwardRequest", "Refused", "StreamingRuntime", "Streams"]
