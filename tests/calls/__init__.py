"""The life of a model call and of a tool call, through the real SDKs and a local server."""
