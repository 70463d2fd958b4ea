"""The node's API (port 10250 of an agent), for the cluster's servers: logs, streams, stats and metrics.

    server = NodeServer(...)    # serving.py
    await server.run()

What must hold: nobody is answered who does not show a certificate of the cluster CA for a server or an administrator;
what a caller may hold or wait for has a bound; a slow reader slows only itself; files are read in threads; aiohttp is
loaded with the first connection.
"""
