"""Bills of providers, from a local server that answers with the types of their SDKs."""
