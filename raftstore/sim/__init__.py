"""The deterministic simulator: whole clusters in one thread, on virtual time, from one seed.

Everything of the product runs as it is (guard, node, journal logic, state machine, watches, replica);
only the world around it is virtual: time and threads (`runtime`), connections (`network`), disks (`disk`).
`cluster` builds replicas and breaks them, `workload` is their clients, `checkers` judge what was seen,
`run` is one seed from start to verdict. `python -m raftstore.sim run 0:300` runs many.

What must always hold: one seed gives one run, byte for byte, whatever PYTHONHASHSEED and the machine are.
So nothing in here reads a clock, draws from an unseeded source, or walks a set of strings or bytes.
"""
