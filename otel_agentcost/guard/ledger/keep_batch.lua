-- The batches:
--
-- {agentcost}:batch:<key>        hash    record, open ("1" or "0"), until, lines and nano_usd
-- {agentcost}:batch-name:<name>  string  the key of the batch with this name
-- {agentcost}:batch-lines:<key>  set     the marks of the lines that were counted; none of a closed batch
-- {agentcost}:batches            zset    the keys of open batches, scored by the time when they were kept
--
-- KEYS: the hash, the zset. ARGV: the key, the record, now, the end. Returns 1 if the batch is new.
if redis.call('HSETNX', KEYS[1], 'record', ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'open', '1', 'until', ARGV[4], 'lines', '0', 'nano_usd', '0')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (tonumber(ARGV[4]) - tonumber(ARGV[3]) + GRACE) * 1000))
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
return 1
