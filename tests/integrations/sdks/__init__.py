"""The real SDKs against a local server: what the application sees with us and without us, and what it cost."""
