"""`python -m benchmarks [--quick]`: all tables. They are ratios within one run: machines are noisy."""

from __future__ import annotations

import sys

from benchmarks import (
    bench_answers,
    bench_budgets,
    bench_http,
    bench_loops,
    bench_machine,
    bench_prices,
    bench_prompt_caches,
    bench_report,
    bench_store,
    bench_tools,
    calls,
    collector,
    startup,
)


def main() -> int:
    quick = "--quick" in sys.argv
    print("CPU added to a call, over the floor (one span with 12 attributes, two histogram records):\n")
    calls.table(quick=quick)
    print("\nBudgets:\n")
    bench_budgets.main(quick=quick)
    print("\nTools:\n")
    bench_tools.table(quick=quick)
    print("\nCached answers:\n")
    bench_answers.table(quick=quick)
    print("\nHTTP clients:\n")
    bench_http.table(quick=quick)
    print("\nLoops:\n")
    bench_loops.main(quick=quick)
    print("\nPrompt caches:\n")
    bench_prompt_caches.table(quick=quick)
    print("\nA whole machine:\n")
    bench_machine.table(quick=quick)
    print("\nSpend store:\n")
    bench_store.table(quick=quick)
    print("\nReport:\n")
    bench_report.table(quick=quick)
    print("\nStart-up, over the bare OpenTelemetry SDK's own:\n")
    startup.table(runs=3 if quick else 9)
    print("\nPrice lookup:\n")
    bench_prices.main()
    print("\nThe files for a Collector, over the same pipeline without them:\n")
    collector.table(quick=quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
