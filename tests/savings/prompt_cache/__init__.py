"""Tests of the watch over prompt caches."""
