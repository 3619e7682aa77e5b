-- KEYS: the hash of the batch, the set of its lines, then the hash of each claim. ARGV: now; the words of the claims'
-- ends; then for each line its mark and the words of its amounts. Returns "1" or "0" for each line (counted now, or
-- before), and the words of each claim's standing. Nothing for an unknown or closed batch. The claims' ends are followed by
-- the seconds of their rolling windows, if one has one.
local now = tonumber(ARGV[1])
local batch = redis.call('HMGET', KEYS[1], 'open', 'until')
if batch[1] ~= '1' or tonumber(batch[2]) + GRACE <= now then return false end

local marks, new = {}, {}
for a = 3, #ARGV, 2 do
  local added = redis.call('SADD', KEYS[2], ARGV[a])
  marks[#marks + 1] = tostring(added)
  if added == 1 then new[#new + 1] = words(ARGV[a + 1]) end
end
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
redis.call('HINCRBY', KEYS[1], 'lines', tostring(#new))
for _, amounts in ipairs(new) do redis.call('HINCRBY', KEYS[1], 'nano_usd', amounts[1]) end

local given, standings, opened = words(ARGV[2]), {}, {}
for k = 3, #KEYS do
  local rolling, ends = given[#KEYS - 2 + k - 2], false
  rolling = rolling and rolling ~= '0' and tonumber(rolling)
  local account = opened[KEYS[k]] or open(KEYS[k], now, rolling)
  if not opened[KEYS[k]] then
    for _, amounts in ipairs(new) do ends = spend(account.key, amounts, rolling, now) end
  end
  opened[KEYS[k]] = account
  if #new > 0 then
    keep(account, later(given[k - 2], ends), now, false)
  end
end
for k = 3, #KEYS do standings[k - 2] = table.concat(recount(opened[KEYS[k]], now).counts, ' ', 1, 2 * #UNITS) end
return {table.concat(marks), table.concat(standings, ' ')}
