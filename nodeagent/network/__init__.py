"""The network of a node's pods."""
