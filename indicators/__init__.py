"""Measures: aggregates, windows, the plugin API, one file a theme."""
