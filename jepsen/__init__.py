"""The chaos suite: real clusters under real faults, checked by their histories.

Nothing is in this room yet; the simulator of `raftstore.sim` covers the store until it is. It may import
the public faces only: `raftstore`, `apiserver.client` and `kmini.cluster`.
"""
