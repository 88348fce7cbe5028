"""The state of the city: entities, newest readings, cases."""
