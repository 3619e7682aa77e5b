"""Wire formats, on bodies alone."""
