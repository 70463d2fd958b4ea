"""What a write changes beside its object, in the same transaction: addresses, node records, fences."""
