-- KEYS: hash and zset of a key. ARGV: now. Returns its standing.
refresh(KEYS[1], KEYS[2], tonumber(ARGV[1]))
return standing(KEYS[1])
