"""Looks at the boards without Grafana: `python -m grafana.preview` draws each of them in a page of its own.

`prometheus.py` asks a Prometheus, or runs one; `company.py` and `sample.py` make up what a small company's agents did,
and `history.py` writes it as series; `board.py` reads a dashboard, `frames.py` runs its queries and transformations,
`units.py` writes numbers as Grafana does, `charts.py`, `cells.py` and `panels.py` draw, `page.py` lays it all out.
"""
