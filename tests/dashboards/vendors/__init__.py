"""Files for Honeycomb and Datadog: as generated, and as the vendors publish that they must be."""
