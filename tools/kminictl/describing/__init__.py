"""`kminictl describe`: one file per family of kinds, in kubectl's words and columns."""
