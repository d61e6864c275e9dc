"""Widgets: each shows a value it is given and says what happened by a message."""
