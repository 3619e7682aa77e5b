"""Settings: the table of all settings (`table.py`), the parsers of their values, and the sources they come from."""
