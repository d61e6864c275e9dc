"""Hours in minutes: a driven clock, machines that change all the while, faults of every kind, names that attack."""
