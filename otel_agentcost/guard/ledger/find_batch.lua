-- KEYS: the name. ARGV: the name alone, which may be the key of a batch; now. Returns the batch, or nothing.
local function shown(key)
  local found = redis.call('HMGET', BATCH .. key, 'record', 'open', 'lines', 'nano_usd')
  return {key, found[1], found[2], found[3], found[4]}
end

local key = redis.call('GET', KEYS[1]) or ARGV[1]
local ends = redis.call('HGET', BATCH .. key, 'until')
if not ends or tonumber(ends) + GRACE <= tonumber(ARGV[2]) then return false end
return shown(key)
