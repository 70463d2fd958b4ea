"""kmini: the daemon's command line, and what only the daemon knows.

The rooms it wires together know nothing of each other's names: who may use which key (`kmini.access`),
where files lie (`kmini.layout`) and how a process is started, watched and ended are decided here.
"""
