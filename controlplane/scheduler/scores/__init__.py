"""Which of the nodes that will do is best for a pod: one file per idea, all in one table (table.py)."""
