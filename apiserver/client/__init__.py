"""The SDK: what controllers, node agents and tests use to talk to the API."""
