-- Shared by all verbs: each script is the constants GRACE, KEEP and BATCH, this file, and the file of the verb.
--
-- {agentcost}:key:<key>    hash   the spend in each unit, the reserved amounts as "held:" and the unit, and "until"
-- {agentcost}:holds:<key>  zset   "<nano_usd> <tokens> <calls> <tool_calls> <call id>", scored by the expiry time
-- {agentcost}:call:<id>    list   "held" or "settled", the time until which that is valid, the zset's member, and
--                                 the names of the hash and the zset of each key with a reservation
--
-- All names have one hash tag, so that a cluster keeps them in one slot, and a script may use several. KEYS has the
-- call and the hashes. Numbers come as words of one argument, which is cheaper than one argument each.
-- Counts stay text, and Redis adds them: Lua's numbers are exact only up to 2^53, which is nine million dollars.

local UNITS = {'nano_usd', 'tokens', 'calls', 'tool_calls'}
local FIELDS = {}
for u, unit in ipairs(UNITS) do
  FIELDS[u] = unit
  FIELDS[u + #UNITS] = 'held:' .. unit
end
FIELDS[#FIELDS + 1] = 'until'

local function words(text)
  local found = {}
  for word in string.gmatch(text, '%S+') do found[#found + 1] = word end
  return found
end

-- Returns true if the sum of the counts is above the limit. Dollars and billionths are added separately.
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

-- Deletes a call, whose list is `record`, and drops its reservations in all keys.
local function drop(call, record)
  if record[1] == 'held' then
    for i = 4, #record, 2 do unhold(record[i], record[i + 1], record[3]) end
  end
  redis.call('DEL', call)
end

-- Returns the spend of a key in each unit, then the reserved amounts, then the end of the key (false: no such key).
local function figures(key)
  local found = redis.call('HMGET', key, unpack(FIELDS))
  for i = 1, 2 * #UNITS do
    if not found[i] or string.sub(found[i], 1, 1) == '-' then found[i] = '0' end
  end
  return found
end

-- Returns a key without its expired reservations; empty if the key has ended.
local function open(key, now)
  local account = {key = key, holds = '{agentcost}:holds:' .. string.sub(key, #'{agentcost}:key:' + 1)}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', account.holds, '-inf', now)) do
    unhold(key, account.holds, member)
  end
  account.counts = figures(key)
  local ends = account.counts[#FIELDS]
  if ends and tonumber(ends) + GRACE <= now then
    redis.call('DEL', key, account.holds)
    account.counts = figures(key)
    ends = false
  end
  account.ends = ends
  return account
end

-- Returns the accounts of the claims, from KEYS[2] on. Two rules can have limits on one key: it is one account.
local function accounts(now)
  local found, opened = {}, {}
  for k = 2, #KEYS do
    opened[KEYS[k]] = opened[KEYS[k]] or open(KEYS[k], now)
    found[k - 1] = opened[KEYS[k]]
  end
  return found
end

-- Extends both names of a key to `ends`, unless they live longer. Redis' own clock only ever deletes late.
local function keep(account, ends, now, added)
  local later = not account.ends or tonumber(ends) > tonumber(account.ends)
  if later then
    redis.call('HSET', account.key, 'until', ends)
  elseif not added then
    return
  end
  local before = account.ends
  if later then account.ends = ends end
  if tonumber(account.ends) >= KEEP then
    if before and later then
      redis.call('PERSIST', account.key)
      redis.call('PERSIST', account.holds)
    end
    return
  end
  local left = string.format('%.0f', (math.max(tonumber(account.ends) - now, 0) + GRACE) * 1000)
  if later then redis.call('PEXPIRE', account.key, left) end
  redis.call('PEXPIRE', account.holds, left)
end

-- Writes the list of a call, which does not exist.
local function remember(call, state, ends, now, ...)
  redis.call('RPUSH', call, state, ends, ...)
  redis.call('PEXPIRE', call, string.format('%.0f', (math.max(tonumber(ends) - now, 0) + GRACE) * 1000))
end

-- Returns a batch as an answer has it.
local function shown(key)
  local found = redis.call('HMGET', BATCH .. key, 'record', 'open', 'lines', 'nano_usd')
  return {key, found[1], found[2], found[3], found[4]}
end
