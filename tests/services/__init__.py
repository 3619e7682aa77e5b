"""Several instrumented services, each in a process of its own, on the way of one call."""
