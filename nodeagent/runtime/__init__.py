"""What runs containers: one interface, shaped as Kubernetes' CRI, and what implements it."""
