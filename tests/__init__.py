"""The project's tests, laid out like the package; `tests.support` has what they share."""
