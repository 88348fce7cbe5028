"""History: what is kept, how it is read while it is written, and the time a server is away."""
