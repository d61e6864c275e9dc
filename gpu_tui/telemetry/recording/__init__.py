"""Recordings: what was seen of a machine, second by second, in a file; and that file as a machine again."""
