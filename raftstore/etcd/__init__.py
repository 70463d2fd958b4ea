"""The etcd v3 gRPC face of the store: it knows etcd's messages and words, and of the store only `backend.Backend`."""
