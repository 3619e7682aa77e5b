-- KEYS: the call.
drop(KEYS[1])
return false
