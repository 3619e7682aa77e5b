"""Shows the boards without Grafana: `python -m grafana.preview` serves each as a page.

Data: `prometheus.py` queries a Prometheus, or runs one; `company.py` and `sample.py` invent what the agents of a small
company did, and `history.py` writes it as series; `runs.py` stands in for Tempo. Boards: `board.py` reads a dashboard,
`frames.py` runs its queries and transformations. Drawing: `charts.py` makes Vega-Lite charts, `picture.py` puts a
board's panels into one SVG, and `page.py` puts that into a page.
"""
