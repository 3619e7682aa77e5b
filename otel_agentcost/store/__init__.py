"""The spend store: what was spent, call by call and hour by hour, in a file that survives the process.

schema.py        the tables, their version, and how a file is opened
rows.py          a settled call as a row
fingerprints.py  fingerprints of requests: content is never stored
opening.py       from a setting to the writer
writer.py        the receiver of settled calls, which writes the file
periods.py       periods such as `yesterday` and `7d`
questions.py     questions about spend, and their answers
summing.py       an answer from rows that come one by one
span_rows.py     what a span adds: rules for every backend of spans
span_sql.py      the same rules in the SQL of ClickHouse
remote.py        servers that are asked over HTTP
zstd.py          compressed files
single_calls.py  single calls, and the sources that have them
sources/         where answers come from: one file for each kind of store

`telemetry.recorder` passes settled calls to the writer. The commands of `cli` and `otel_agentcost.spend` read.
"""
