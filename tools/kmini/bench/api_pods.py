"""The work of the API benchmark: pods of 1-2 KiB, where they lie, and the Lua that makes wrk ask for them. Pure."""

from __future__ import annotations

import json

import msgspec

NAMESPACE = "bench"  # the account's
MANY = "bench-many"  # the list of 10,000, and the gets
FEW = "bench-few"  # the list of 500
CREATED = "bench-created"
WATCHED = "bench-watched"
NAMESPACES = (NAMESPACE, MANY, FEW, CREATED, WATCHED)
ACCOUNT = "load"
PODS_MANY = 10_000
PODS_FEW = 500
CLIENTS = 64
WATCHERS = 1_000
HELLO_BYTES = 1_536
_GOT = 500  # gets go round so many pods
_NAME = "@NAME@"


def pod(name: str) -> bytes:
    """A pod as a Deployment's controller would write it; about 1.1 KiB, 1.7 KiB once the server set its defaults."""
    labels = {"app": "shop", "tier": "frontend", "pod-template-hash": "6d4b75cb6d", "version": "1.25.3"}
    variables = [
        {"name": "LOG_LEVEL", "value": "info"},
        {"name": "DATABASE_URL", "value": "postgres://db.shop.svc.cluster.local:5432/shop"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}
    container = {
        "name": "app",
        "image": "registry.local/shop/frontend:1.25.3",
        "command": ["/bin/frontend", "--listen=:8080", "--metrics=:9090"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
        "env": variables,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/shop"}],
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": {"shop.local/owner": "team-frontend"}},
        "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}]},
    }
    return json.dumps(body, separators=(",", ":")).encode()


def pods_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def pod_name(number: int) -> str:
    return f"frontend-6d4b75cb6d-{number:05d}"


_DONE = """
done = function(summary, latency)
  io.write(string.format('\\n{"requests":%d,"duration_us":%d,"bytes":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\\n',
    summary.requests, summary.duration, summary.bytes,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
      + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Script(msgspec.Struct, frozen=True):
    """A load as wrk's Lua; `text` adds what every script needs: who asks, and figures as JSON at the end."""

    lua: str

    def text(self, token: str) -> str:
        head = f'wrk.headers["Authorization"] = "Bearer {token}"\n' if token else ""
        return head + self.lua + _DONE


def gets(paths: list[str]) -> Script:
    """GET of these in turn; requests are made once."""
    listed = ",".join(f'"{path}"' for path in paths)
    return Script(f"""
local requests, at = {{}}, 0
init = function(args)
  for number, path in ipairs({{{listed}}}) do requests[number] = wrk.format("GET", path) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
""")


def pod_gets(count: int) -> Script:
    """GET of some of the first `count` pods, in turn."""
    step = max(1, count // _GOT)
    return gets([f"{pods_path(MANY)}/{pod_name(number)}" for number in range(0, count, step)])


def creates(prefix: str) -> Script:
    """POST of pods whose names begin with `prefix` and never repeat."""
    before, _, after = pod(_NAME).decode().partition(_NAME)
    return Script(f"""
wrk.headers["Content-Type"] = "application/json"
local threads, number = 0, 0
setup = function(thread)
  threads = threads + 1
  thread:set("id", threads)
end
request = function()
  number = number + 1
  local name = "{prefix}-" .. id .. "-" .. number
  return wrk.format("POST", "{pods_path(CREATED)}", nil, [[{before}]] .. name .. [[{after}]])
end
""")
