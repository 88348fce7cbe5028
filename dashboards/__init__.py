"""Out: frames, hub, server, pages."""
