"""One file per command: it reads its flags, calls what does the work, and prints. No work is done here."""
