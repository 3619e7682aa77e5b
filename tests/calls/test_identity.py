"""The names by which budgets are counted: one for each process, whichever threads ask for it first."""

from __future__ import annotations

import os

import pytest

from tests.integrations.sdks.test_patching import python

# Each call of `os.urandom` takes a while, so that threads meet in it: the name of a process is made of it.
FIRST_CALLS = """
import logging, os, sys, threading, time, warnings
logging.disable()
warnings.simplefilter("ignore", DeprecationWarning)
random = os.urandom
os.urandom = lambda size: (time.sleep(0.005), random(size))[1]
import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings
from tests.support.openai_call import ask, client
sys.setswitchinterval(1e-5)
made = client()

def eight():
    start, sent = threading.Barrier(8), []
    def call():
        start.wait()
        try:
            ask(made)
            sent.append(1)
        except BudgetExceeded:
            pass
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return len(sent)

"""
BUDGETS = {
    "process": 'Settings(budgets="process:calls=3")',
    "trace under no span": "Settings(trace_max_llm_calls=3)",
    "dollars": 'Settings(trace_budget_usd="0.000135", wait_seconds=5)',  # three calls of 100 tokens in and 50 out
    "circuit breaker": 'Settings(budgets="process:calls=3", breakers="total:refusals=100/1m,open=1m")',
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_eight_threads_that_make_the_first_calls_of_a_process_do_not_pass_its_budget(budget: str) -> None:
    """Three calls are sent, however the threads interleave."""
    script = f"{FIRST_CALLS}otel_agentcost.instrument(settings={BUDGETS[budget]})\nprint(eight())"
    assert python(script).strip() == "3"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_eight_threads_that_make_the_first_calls_of_a_forked_child_do_not_pass_its_budget() -> None:
    """A child has its own name before its first thread can start."""
    script = f"""{FIRST_CALLS}
otel_agentcost.instrument(settings=Settings(budgets="process:calls=3"))
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(eight())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(script).split() == ["3"] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_count_on_the_name_of_its_parent() -> None:
    """What the parent has spent is the parent's: a child starts with a budget of its own."""
    script = f"""{FIRST_CALLS}
otel_agentcost.instrument(settings=Settings(budgets="process:calls=3"))
first = eight()
child = os.fork()
if child == 0:
    os._exit(eight())
print(first, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(script).split() == ["3", "3"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_is_forked_while_a_ledger_is_opened_does_not_hang() -> None:
    """A thread of the parent opens the first run, and its ledger takes half a second: the child opens its own."""
    script = f"""{FIRST_CALLS}
import signal
from otel_agentcost.guard.ledger.memory import MemoryLedger
class Slow(MemoryLedger):
    def standing(self, key, *, now):
        time.sleep(0.5)
        return super().standing(key, now=now)
otel_agentcost.instrument(settings=Settings(ledger=Slow()))
def open_run():
    with otel_agentcost.run("work", llm_calls=1):
        pass
thread = threading.Thread(target=open_run)
thread.start()
time.sleep(0.1)
child = os.fork()
if child == 0:
    signal.alarm(10)
    open_run()
    os._exit(0)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(script).strip() == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_is_forked_while_a_thread_holds_a_lock_does_not_hang() -> None:
    """Each lock on the way of a call is new in the child: of the gate, the guard, its ledger, its clock, its loops."""
    script = f"""{FIRST_CALLS}
import signal
from otel_agentcost.calls import active
otel_agentcost.instrument(settings=Settings(budgets="process:calls=5;trace:seconds=60"))
ask(made)
running = active.active()
gate = running.gates.gate
owners = [running.gates, gate.guard, gate.guard.ledger, gate.guard._start_times, gate.guard._queues, running.loops]
owners += [trace.loops for trace in running.loops._traces.values()]
for owner in owners:
    owner._lock.acquire()
child = os.fork()
if child == 0:
    signal.alarm(10)
    ask(made)
    with otel_agentcost.run("work", llm_calls=1):
        ask(made)
    os._exit(0)
print(len(owners), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(script).split() == ["7", "0"]
