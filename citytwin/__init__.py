"""The event-streaming city digital twin."""
