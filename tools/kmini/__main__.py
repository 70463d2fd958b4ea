"""`python -m kmini` is `kmini`."""

from .cli import main

main()
