-- KEYS: the note, a string. Returns it, or nothing.
return redis.call('GET', KEYS[1])
