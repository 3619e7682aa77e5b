"""The generator behind `agentcost collector-config`: price tables and pipelines for a stock OpenTelemetry Collector.

`signals` is the one table of metrics, which the boards and alerts are made from too. Nothing here is imported where an
application is instrumented.
"""
