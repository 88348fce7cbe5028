"""The desk: alarms, rules, cases, dispatch, people as laws without state."""
