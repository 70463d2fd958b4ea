"""The Raft log: the engine on pysyncobj behind its guard, the journal, the transport, founding and membership."""
