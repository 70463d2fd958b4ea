"""Controllers and the scheduler: clients of the API that move what is towards what was asked for.

They import `apiserver.client` and `apiserver.api` and nothing else of ours, so that `kmini controllers` can run them
anywhere.
"""
