"""What happens to the objects of a kind, once for all who want to know: watches, indexes, mirrors."""
