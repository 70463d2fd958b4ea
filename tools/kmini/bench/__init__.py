"""Benchmarks that put a peer beside us, in one run on one machine.

A figure alone says more about the machine than about the program, so every row has ours, the peer's and the
ratio, measured in turns (A B A B) and never under load at the same time. What is printed is what was
measured: a missed aim is printed as missed. `python -m kmini.bench store` is what `make bench-store` calls.
"""
