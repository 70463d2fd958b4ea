"""The node agent: makes the pods bound to one machine run there, and says how they are.

Nothing is in this room yet. When it is, it imports `apiserver.client` and `apiserver.api` and nothing
else of ours, so that an agent is a client of the API like any other.
"""
