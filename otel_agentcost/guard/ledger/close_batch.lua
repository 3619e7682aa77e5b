-- KEYS: the hash, the set of lines, the zset of open batches. ARGV: the key, now. Returns 1 if it was open.
local batch = redis.call('HMGET', KEYS[1], 'open', 'until')
if batch[1] ~= '1' or tonumber(batch[2]) + GRACE <= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'open', '0')
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
