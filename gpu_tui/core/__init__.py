"""Pure arithmetic on frozen values. Standard library only: no I/O, clock, randomness or logging."""
