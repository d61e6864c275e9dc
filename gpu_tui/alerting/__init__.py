"""Where alerts go beside the screen: a log file, a command, a webhook; each on a thread of its own, and bounded."""
