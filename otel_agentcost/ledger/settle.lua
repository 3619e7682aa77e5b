-- KEYS: the call, then hash and zset of each claim. ARGV: now, until when the call is remembered, an amount a unit;
-- then for each claim its end. Returns each claim's standing, one after the other.
local now = tonumber(ARGV[1])
local claims = (#KEYS - 1) / 2

local record = redis.call('LRANGE', KEYS[1], 0, 1)
local counted = record[1] == 'settled' and tonumber(record[2]) > now
if not counted then drop(KEYS[1]) end

local seen = {}
for c = 1, claims do
  local key, holds = KEYS[2 * c], KEYS[2 * c + 1]
  if not seen[key] then refresh(key, holds, now) end
  if not counted then
    for u, unit in ipairs(UNITS) do
      if not seen[key] and ARGV[2 + u] ~= '0' then redis.call('HINCRBY', key, unit, ARGV[2 + u]) end
    end
    keep(key, holds, ARGV[2 + #UNITS + c], now)
  end
  seen[key] = true
end
if not counted then remember(KEYS[1], 'settled', ARGV[2], now) end

local standings = {}
for c = 1, claims do
  for _, count in ipairs(standing(KEYS[2 * c])) do standings[#standings + 1] = count end
end
return standings
