"""The health of the provider's prompt cache: whether it is hit, and if not, which part of the prompt has changed.

segments.py        hashes of the parts of a request: tools, system prompt, parameters, messages
conversations.py   the conversations that are known, and which of them a request continues
breaks.py          the cause of a shortfall
health.py          the watch over all calls of a process, which `calls` reaches by `calls.prompt_caches`
rules.py           the rules of providers (`rules.json`): the least tokens, lifetimes, markers
"""
