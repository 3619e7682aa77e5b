"""The project's tests. A package, so that test modules can share `tests.model_server` and `tests.in_memory`."""
