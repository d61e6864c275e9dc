"""What reads the machine: NVML, /proc, scenarios -> one `Snapshot` per tick."""
