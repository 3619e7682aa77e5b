"""Spans, metrics and attribution: with the span processor the only users of the OpenTelemetry API.

Nothing here decides anything: it writes down what the wire readers read and what the price book said.
"""
