"""kminictl: the command line client of the API, with kubectl's verbs and habits.

It may import `apiserver.client` and `apiserver.api` only: whatever it can do, any client can. The exceptions: `why`
asks the scheduler's own filters, `raft` speaks with etcd's messages, and `port-forward` uses the node agent's codec.
"""
