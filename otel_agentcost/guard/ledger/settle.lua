-- KEYS: the call, then the hash of each claim. ARGV: words: now, the time until which the call is remembered, an amount
-- for each unit; and for each claim its end; words of the claims' rolling windows, if one has one. Returns the words of
-- each claim's standing. A negative amount leaves no sum below 0.
local given = words(ARGV[1])
local now = tonumber(given[1])

local record = redis.call('LRANGE', KEYS[1], 0, -1)
local counted = record[1] == 'settled' and tonumber(record[2]) > now
if record[1] and not counted then drop(KEYS[1], record) end

local rolling = ARGV[2] and words(ARGV[2])
local claimed = accounts(now, rolling)
if not counted then
  local seen, amounts = {}, {unpack(given, 3, 2 + #UNITS)}
  for c, account in ipairs(claimed) do
    local ends = false
    if not seen[account] then
      ends = spend(account.key, amounts, rolling and rolling[c] ~= '0' and tonumber(rolling[c]), now)
    end
    seen[account] = true
    keep(account, later(given[2 + #UNITS + c], ends), now, false)
  end
  remember(KEYS[1], 'settled', given[2], now)
end

local standings = {}
for c, account in ipairs(claimed) do
  standings[c] = table.concat(recount(account, now).counts, ' ', 1, 2 * #UNITS)
end
return table.concat(standings, ' ')
