"""Boards, alerts and provisioning for Grafana, and a preview that shows the boards without Grafana."""
