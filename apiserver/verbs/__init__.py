"""What can be done to objects: one module per family of verbs. Nothing here knows HTTP."""
