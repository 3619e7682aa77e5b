"""The size of an object with all that it keeps, so that a bound can be tested without a look at private attributes."""

from __future__ import annotations

import gc
import types

SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
"""Objects that are there anyway, from which everything else can be reached."""


def objects(root: object) -> int:
    """Count the objects that `root` keeps alive and that the garbage collector sees, in any depth."""
    seen = {id(root)}
    count, waiting = 0, [root]
    while waiting:
        count += 1
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in seen and not isinstance(each, SHARED):
                seen.add(id(each))
                waiting.append(each)
    return count
