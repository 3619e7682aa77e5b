"""Generates alerts from one table: rules for Prometheus, and the same rules for Grafana's own alerting.

`python -m grafana.alerts` writes both files; `--set day_ratio=3` changes a threshold.
"""
