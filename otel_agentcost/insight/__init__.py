"""Answers that are worked out from recorded calls: pure functions over rows, without a clock, a file or a network.

Trend, forecast, recommendations and the tables of a report; recorded calls under other prices (`what_if`); a
provider's bill beside what was recorded, and why they differ (`reconcile`). All of them price a recorded call with
`repricing`. The commands of `cli` read the store and the bills, and print the answers.
"""
