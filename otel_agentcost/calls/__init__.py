"""The life of a model call (`pipeline.py`), and of tool calls and runs beside it."""
