"""Values -> words, rows and braille. Shared by the CLI and the TUI; knows neither."""
