-- KEYS: the call.
local record = redis.call('LRANGE', KEYS[1], 0, -1)
if record[1] == 'held' then drop(KEYS[1], record) end
return false
