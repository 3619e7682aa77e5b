"""Long histories: the hook that may shorten them, and the context management of the providers themselves.

hook.py     the hook, and the facts that it gets
running.py  calls a hook, in time
change.py   the change of requests: when the hook is asked, and what becomes of what it returns
memory.py   what was shortened before, by conversation
native.py   the change that sets the provider's own context management
"""
