-- KEYS: the call, then the hash of each claim. ARGV: words: now, the time until which the call is remembered, an amount
-- for each unit; and for each claim its end. Returns the words of each claim's standing. A negative amount leaves no sum below 0.
local given = words(ARGV[1])
local now = tonumber(given[1])

local record = redis.call('LRANGE', KEYS[1], 0, -1)
local counted = record[1] == 'settled' and tonumber(record[2]) > now
if record[1] and not counted then drop(KEYS[1], record) end

local claimed = accounts(now)
if not counted then
  local seen = {}
  for c, account in ipairs(claimed) do
    for u, unit in ipairs(UNITS) do
      if not seen[account] and given[2 + u] ~= '0' then
        local sum = redis.call('HINCRBY', account.key, unit, given[2 + u])
        if sum < 0 then redis.call('HSET', account.key, unit, '0') end
      end
    end
    seen[account] = true
    keep(account, given[2 + #UNITS + c], now, false)
  end
  remember(KEYS[1], 'settled', given[2], now)
end

local standings = {}
for c, account in ipairs(claimed) do standings[c] = table.concat(figures(account.key), ' ', 1, 2 * #UNITS) end
return table.concat(standings, ' ')
