"""Nouns and laws of the city, without state."""
