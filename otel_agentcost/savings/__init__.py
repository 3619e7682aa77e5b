"""Tokens that need not be paid: broken prompt caches, repeated answers, repeated tool calls, long histories.

prompt_cache/  whether the provider's prompt cache is hit, why not, and markers that let it be
responses/     answers to requests that were answered before
tools/         results of tools that were called before with the same arguments
semantic/      what a semantic cache would answer, and how often it would be wrong: it serves nothing
context/       the hook that is asked to shorten long histories
stores/        where answers and results are kept: one file for each kind of store

All of it is off unless a setting names it, except the health of prompt caches. `calls` reaches it by protocols of its
own; `runtime` puts both together.
"""
