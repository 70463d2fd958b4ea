"""The node agent: makes the pods bound to one machine run there, and says how they are.

It imports `apiserver.client` and `apiserver.api` and nothing else of ours: an agent is a client of the API like any
other. Its seams are the runtime (`runtime/interface.py`) and what says how well containers are (`health.py`).
"""
