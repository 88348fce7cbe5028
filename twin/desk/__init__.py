"""The desk's state: what alarms, units, plans and people are now, folded from events in the log's order."""
