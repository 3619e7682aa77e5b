"""SDKs, tool frameworks, and spans of other instrumentations."""
