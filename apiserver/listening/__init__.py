"""What every HTTPS port of ours has in common, an API server's and a node's: listener, places, connection.

What must hold: whoever has a route to a port holds a bounded part of it for a bounded time, and those who prove who
they are always find room. This room imports nothing else of ours, and loads aiohttp with `connection` alone.
"""
