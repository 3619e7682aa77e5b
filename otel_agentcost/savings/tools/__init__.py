"""Results of tools that were called before with the same arguments.

keys.py     the key of a result: the tool, its arguments, whose it is, and what else it depends on
values.py   results as bytes, and back
results.py  the cache: an implementation of `core.tool_results.ToolResults`
"""
