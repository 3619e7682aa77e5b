"""A provider's bill and what was recorded."""
