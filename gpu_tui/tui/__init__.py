"""The terminal UI. Shows values; computes nothing and touches no source."""
