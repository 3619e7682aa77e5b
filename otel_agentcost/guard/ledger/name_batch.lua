-- KEYS: the hash, then the names. ARGV: the key, now. A name lives as long as its batch.
local life = redis.call('PTTL', KEYS[1])
if life <= 0 then return 0 end
for k = 2, #KEYS do redis.call('SET', KEYS[k], ARGV[1], 'PX', life) end
return 1
