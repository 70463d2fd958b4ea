"""core/v1: the kinds of the group without a name, one module for each family of types."""
