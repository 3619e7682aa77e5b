"""Boards, alerts and provisioning for Grafana, and a page that shows the boards without it."""
