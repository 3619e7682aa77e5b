"""The generator behind `agentcost collector-config`: price tables and pipelines for a stock OpenTelemetry Collector.

The metrics come from `telemetry.signals`, as the boards and alerts do. An instrumented application imports nothing of
this package.
"""
