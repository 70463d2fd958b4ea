"""How well containers are, found out by asking them: startup, liveness and readiness probes.

actions.py    what is asked, worked out from the pod (pure); hooks ask in the same way
http.py grpc_health.py   the ways that need a protocol
checks.py     one question and its outcome, in the kubelet's words
tally.py      what many outcomes in a row mean (pure)
prober.py     when to ask, and what the pod's worker is told
"""
