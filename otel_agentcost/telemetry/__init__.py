"""Spans, metrics and attribution on the OpenTelemetry API.

This package records figures that other packages have computed: usage from `wire`, costs from `pricebook`, decisions
from `guard`. It decides nothing.
"""
