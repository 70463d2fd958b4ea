"""From a pod's spec to what the runtime is told, for real containers.

One file for each idea, pure where it can be; specs.py puts them together. What a pod asks for and cannot have here is
a NotYet in Kubernetes' words, never something else in its place.
"""
