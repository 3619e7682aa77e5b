"""This package side by side with other instrumentations, each in an environment of its own."""
