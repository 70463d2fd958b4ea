"""The objects of the API: typed, with Kubernetes' names and meanings. Imports nothing of ours outside this room."""
