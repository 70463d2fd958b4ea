"""metrics.k8s.io: what nodes and pods use, from what their agents say (`/stats/summary`) whenever somebody asks.

Each server asks for itself and keeps an answer for FRESH_S; one that is not asked keeps nothing. What must hold: agents
are asked a bounded number at a time, each for a bounded time, and nothing that an agent says of a pod counts unless the
pod is bound to its node.
"""
