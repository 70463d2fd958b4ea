"""Bodies of requests in Kubernetes' protobuf form, read into the same plain values that JSON gives.

kubectl's typed commands and other Go clients send it; answers stay JSON, which they accept. Nothing here knows what
an object means: what comes out goes through the same conversion, defaults and rules as a JSON body. Tables and
readers are made when the first such body comes, so a server that never sees one does not pay for them.
"""

from __future__ import annotations

#: Content-Type of such bodies. What reads them is imported with the first one: `apiserver.protobuf.body`.
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
