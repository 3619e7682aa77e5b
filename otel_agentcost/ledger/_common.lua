-- What the verbs share: it stands before each of them, after the constants GRACE and KEEP.
--
-- {agentcost}:key:<key>    hash   what is spent of each unit, "held:" and the unit, and "until"
-- {agentcost}:holds:<key>  zset   "<nano_usd> <tokens> <calls> <tool_calls> <call id>" by the time when the hold expires
-- {agentcost}:call:<id>    list   "held" or "settled", the time until which that is so, the zset's member, and
--                                 the names of the hash and the zset of each key that is held
--
-- All names have one hash tag, so that a cluster keeps them in one slot and scripts may go from one to another.
-- Counts stay text, and Redis adds them: Lua's numbers are exact to 2^53 only, which is nine million dollars.

local UNITS = {'nano_usd', 'tokens', 'calls', 'tool_calls'}
local FIELDS = {}
for u, unit in ipairs(UNITS) do
  FIELDS[u] = unit
  FIELDS[u + #UNITS] = 'held:' .. unit
end

-- Whether the sum of the counts is above the limit: dollars and billionths are added apart.
local function above(limit, counts)
  local high, low = -(tonumber(string.sub(limit, 1, -10)) or 0), -tonumber(string.sub(limit, -9))
  for _, count in ipairs(counts) do
    high = high + (tonumber(string.sub(count, 1, -10)) or 0)
    low = low + tonumber(string.sub(count, -9))
  end
  high = high + math.floor(low / 1e9)
  return high > 0 or (high == 0 and low % 1e9 > 0)
end

local function unhold(key, holds, member)
  if redis.call('ZREM', holds, member) == 0 then return end
  local amounts = {string.match(member, '^(%d+) (%d+) (%d+) (%d+) ')}
  for u, unit in ipairs(UNITS) do
    if amounts[u] ~= '0' then redis.call('HINCRBY', key, 'held:' .. unit, '-' .. amounts[u]) end
  end
end

-- Drops all that a call holds, wherever that is.
local function drop(call)
  local record = redis.call('LRANGE', call, 0, -1)
  if record[1] ~= 'held' then return end
  for i = 4, #record, 2 do unhold(record[i], record[i + 1], record[3]) end
  redis.call('DEL', call)
end

-- Brings a key up to date: without the holds that have expired, and empty if it has ended.
local function refresh(key, holds, now)
  local ends = redis.call('HGET', key, 'until')
  if ends and tonumber(ends) + GRACE <= now then
    redis.call('DEL', key, holds)
    return
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', holds, '-inf', now)) do unhold(key, holds, member) end
end

-- Puts off a key's end, and with it the end of both that belong to it. Redis' own clock only ever takes away late.
local function keep(key, holds, ends, now)
  local before = redis.call('HGET', key, 'until')
  if before and tonumber(before) > tonumber(ends) then ends = before else redis.call('HSET', key, 'until', ends) end
  local left = string.format('%.0f', (math.max(tonumber(ends) - now, 0) + GRACE) * 1000)
  for _, name in ipairs({key, holds}) do
    if tonumber(ends) >= KEEP then redis.call('PERSIST', name) else redis.call('PEXPIRE', name, left) end
  end
end

-- What is spent and held of a key, unit by unit.
local function standing(key)
  local counts = redis.call('HMGET', key, unpack(FIELDS))
  for i, count in ipairs(counts) do
    if not count or string.sub(count, 1, 1) == '-' then counts[i] = '0' end
  end
  return counts
end

local function remember(call, state, ends, now, ...)
  redis.call('DEL', call)
  redis.call('RPUSH', call, state, ends, ...)
  redis.call('PEXPIRE', call, string.format('%.0f', (math.max(tonumber(ends) - now, 0) + GRACE) * 1000))
end
