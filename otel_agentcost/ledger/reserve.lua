-- KEYS: the call, then hash and zset of each claim.
-- ARGV: now, when the hold expires, the zset's member, an amount a unit; then for each claim its end, a limit a unit
-- (empty: none). Returns nothing, or the refusal: claim and unit (from 1), spent, held.
local now = tonumber(ARGV[1])
local expires, member = ARGV[2], ARGV[3]
local claims = (#KEYS - 1) / 2
local width = #UNITS + 1

local record = redis.call('LRANGE', KEYS[1], 0, 1)
if record[1] and tonumber(record[2]) > now then return false end
drop(KEYS[1])

local refusal = false
local waiting = false
for c = 1, claims do
  refresh(KEYS[2 * c], KEYS[2 * c + 1], now)
  local counts = standing(KEYS[2 * c])
  for u = 1, #UNITS do
    local limit, amount = ARGV[3 + #UNITS + width * (c - 1) + 1 + u], ARGV[3 + u]
    local spent, held = counts[u], counts[u + #UNITS]
    if limit ~= '' and (not refusal or waiting) and above(limit, {spent, held, amount}) then
      local helps = not above(limit, {spent, amount})
      if not refusal or not helps then refusal, waiting = {c, u, spent, held}, helps end
    end
  end
end
if refusal then return refusal end

for c = 1, claims do
  local key, holds = KEYS[2 * c], KEYS[2 * c + 1]
  if redis.call('ZADD', holds, expires, member) == 1 then
    for u, unit in ipairs(UNITS) do
      if ARGV[3 + u] ~= '0' then redis.call('HINCRBY', key, 'held:' .. unit, ARGV[3 + u]) end
    end
  end
  local ends = ARGV[3 + #UNITS + width * (c - 1) + 1]
  if tonumber(ends) < tonumber(expires) then ends = expires end
  keep(key, holds, ends, now)
end
remember(KEYS[1], 'held', expires, now, member, unpack(KEYS, 2))
return false
