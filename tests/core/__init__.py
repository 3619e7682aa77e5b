"""The rules, on values alone."""
