-- KEYS: the call, then the hash of each claim. ARGV: words: now, until when the call is remembered, an amount a unit;
-- and for each claim its end. Returns each claim's standing, one after the other.
local given = words(ARGV[1])
local now = tonumber(given[1])

local record = redis.call('LRANGE', KEYS[1], 0, 1)
local counted = record[1] == 'settled' and tonumber(record[2]) > now
if record[1] == 'held' then drop(KEYS[1]) end

local claimed = accounts(now)
if not counted then
  local seen = {}
  for c, account in ipairs(claimed) do
    for u, unit in ipairs(UNITS) do
      if not seen[account] and given[2 + u] ~= '0' then redis.call('HINCRBY', account.key, unit, given[2 + u]) end
    end
    seen[account] = true
    keep(account, given[2 + #UNITS + c], now, false)
  end
  remember(KEYS[1], 'settled', given[2], now)
end

local standings = {}
for _, account in ipairs(claimed) do
  local counts = figures(account.key)
  for i = 1, 2 * #UNITS do standings[#standings + 1] = counts[i] end
end
return standings
