"""raftstore: a linearizable, durable, watchable key-value store that every replica embeds."""
