"""Spans of other instrumentations: their model calls and tool calls are priced, limited and counted here."""
