"""Which nodes will not do for a pod, and why: one file per idea, all in one table (table.py)."""
