"""What a pod's spec, status and changes must look like: Kubernetes 1.33's rules, in its words.

A module for each idea. Every rule gets the value, the `Causes` to add to and the path it stands at, and goes on after
a mistake, so that a person sees all of them at once. Pods and templates share the rules; `Surroundings` tells apart
what differs. Defaults have been filled in before.
"""
