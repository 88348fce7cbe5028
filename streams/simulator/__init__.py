"""A seeded city that tells a story, with ground truth: `Simulator(city, seed, start_ms)`."""

from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.run import Simulator

__all__ = ["Simulator", "Town"]
