"""What a write must pass between decoding and storage: ordered plug-ins behind one interface."""
