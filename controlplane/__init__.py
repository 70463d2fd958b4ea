"""Controllers and the scheduler: clients of the API that move what is towards what was asked for.

Nothing is in this room yet. When it is, it imports `apiserver.client` and `apiserver.api` and nothing
else of ours, so that `kmini controllers` can run it anywhere.
"""
