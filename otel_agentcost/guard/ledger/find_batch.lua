-- KEYS: the name. ARGV: the name alone, which may be the key of a batch; now. Returns the batch, or nothing.
local key = redis.call('GET', KEYS[1]) or ARGV[1]
local ends = redis.call('HGET', BATCH .. key, 'until')
if not ends or tonumber(ends) + GRACE <= tonumber(ARGV[2]) then return false end
return shown(key)
