"""What measures the live services: LLM and STT probes, the runner, the child process they run in."""
