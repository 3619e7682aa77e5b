"""The boards for Grafana, one module each, and the code that builds them.

`queries.py` builds PromQL from the table of signals, `traces.py` builds TraceQL, `panels.py` panels and `tables.py`
tables. `board.py` lays them out and adds the variables that all boards share. `python -m grafana.boards` writes
`dashboards/*.json`. Users need only these files; Grafana's Foundation SDK is needed to change boards.
"""
