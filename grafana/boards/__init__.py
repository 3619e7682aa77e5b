"""The boards for Grafana, one module each, and what they are made with.

`queries.py` makes PromQL from the table of signals and `traces.py` TraceQL; `panels.py` makes panels, `tables.py`
tables; `board.py` lays them out, with the variables that all boards share. `python -m grafana.boards` writes
`dashboards/*.json`, which is all that users need: the SDK that this is built with is for those who change boards.
"""
