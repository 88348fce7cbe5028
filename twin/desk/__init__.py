"""The desk's state: what alarms, units, plans and people are now, as the fold of the desk's events in the log's order."""
