"""The verbs of the `citytwin` command, one module each; `command` is what the group finds."""
