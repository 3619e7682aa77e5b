"""Boards, alerts, and files for other vendors."""
