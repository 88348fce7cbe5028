"""Where: coordinates, scopes, exact location."""
