"""What `apply`, `edit` and `diff` compare: patches made from two or three versions of an object. Pure."""
