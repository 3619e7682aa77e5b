"""The README and the pages of `docs/`: their examples run, and their tables are those of the code."""
