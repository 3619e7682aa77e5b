"""Every way in: patched SDKs and tool frameworks, and spans of other instrumentations."""
