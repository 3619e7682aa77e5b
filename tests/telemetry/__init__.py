"""What is recorded: attributes, metrics, roll-ups, attribution, through the real SDKs and a local server."""
