"""Metrics out: what was read last, over HTTP, as Prometheus text. Needs the extra ``exporter`` (prometheus-client)."""
