"""Screens: the explorer, and the dialogs over it."""
