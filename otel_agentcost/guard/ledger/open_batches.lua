-- KEYS: the zset of open batches. ARGV: now. Returns the batches one after the other, the oldest first.
local all = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local ends = redis.call('HGET', BATCH .. key, 'until')
  if not ends then
    redis.call('ZREM', KEYS[1], key)
  elseif tonumber(ends) + GRACE > tonumber(ARGV[1]) then
    for _, value in ipairs(shown(key)) do all[#all + 1] = value end
  end
end
return all
