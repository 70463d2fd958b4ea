"""kminictl: the command line client of the API, with kubectl's verbs and habits.

It may import `apiserver.client` and `apiserver.api` only: whatever it can do, any client can. The exception is `why`,
which asks the scheduler's own filters.
"""
