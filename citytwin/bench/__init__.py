"""The benchmark: job W whole way from bytes to frames, its baselines in the same run, and how the engine scales."""

from citytwin.bench.command import main

__all__ = ["main"]
