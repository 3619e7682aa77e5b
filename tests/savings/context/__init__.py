"""The hook for long histories, on calls of the real SDKs."""
