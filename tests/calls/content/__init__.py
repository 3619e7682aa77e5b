"""Content of messages in spans, and in events."""
