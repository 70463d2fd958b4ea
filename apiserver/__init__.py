"""The API server: Kubernetes' objects over HTTPS, kept in the store.

What is here so far is what the store's own faces need: certificates (`apiserver.auth.pki`). This room
imports `raftstore` through its public face only, and nothing else of ours.
"""
