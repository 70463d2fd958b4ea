"""Changes to a document as a client sends them: JSON patch, merge patch, strategic merge patch."""
