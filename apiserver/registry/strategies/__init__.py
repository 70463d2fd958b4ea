"""What is special about each kind: one file per family of kinds."""
