"""What is worked out from recorded calls."""
