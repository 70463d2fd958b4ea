"""SPDY/3.1 without I/O: bytes in, events out, for both ends of a connection.

    frames.py   bytes and frames; what is on the wire
    headers.py  names and values, compressed
    session.py  streams, windows, and what each side may do

Source of the rules: the SPDY/3 draft (draft-mbelshe-httpbis-spdy-00) and what 3.1 adds, a window for the whole session.
"""
