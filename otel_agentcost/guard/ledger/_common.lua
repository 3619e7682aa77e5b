-- Shared by all verbs: each script is the constants GRACE, KEEP, SLICES and BATCH, this file, and the file of the verb.
--
-- {agentcost}:key:<key>    hash   the spend in each unit, the reserved amounts as "held:" and the unit, and "until"
--                                 a rolling window: its seconds as "rolling", the ends of its "oldest" and "latest"
--                                 slice, and the spend in each slice as "slice:", its end, ":" and the unit
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

-- Returns true if the sum of the counts, without that of `less`, is above the limit. Dollars and billionths are added
-- separately.
local function above(limit, counts, less)
  local high, low = -(tonumber(string.sub(limit, 1, -10)) or 0), -tonumber(string.sub(limit, -9))
  for _, count in ipairs(counts) do
    high = high + (tonumber(string.sub(count, 1, -10)) or 0)
    low = low + tonumber(string.sub(count, -9))
  end
  for _, count in ipairs(less or {}) do
    high = high - (tonumber(string.sub(count, 1, -10)) or 0)
    low = low - tonumber(string.sub(count, -9))
  end
  high = high + math.floor(low / 1e9)
  return high > 0 or (high == 0 and low % 1e9 > 0)
end

-- The field of a slice of a rolling window. Lua writes large numbers with an exponent otherwise.
local function integer(number)
  return string.format('%.0f', number)
end

local function slice(ends, unit)
  return 'slice:' .. integer(ends) .. ':' .. unit
end

local function width(rolling)
  return math.max(1, math.floor(rolling / SLICES))
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

-- Drops the slices of a rolling window that are older than it, and their spend.
local function age(key, now)
  local found = redis.call('HMGET', key, 'rolling', 'oldest', 'latest')
  if not found[1] then return end
  local rolling, first, last = tonumber(found[1]), tonumber(found[2]), tonumber(found[3])
  local ends = first
  while ends <= last and ends + rolling <= now do
    for _, unit in ipairs(UNITS) do
      local field = slice(ends, unit)
      local spent = redis.call('HGET', key, field)
      if spent then
        if spent ~= '0' then redis.call('HINCRBY', key, unit, '-' .. spent) end
        redis.call('HDEL', key, field)
      end
    end
    ends = ends + width(rolling)
  end
  if ends > last then
    redis.call('HDEL', key, 'rolling', 'oldest', 'latest')
  elseif ends > first then
    redis.call('HSET', key, 'oldest', integer(ends))
  end
end

-- Takes an amount, whose text begins with "-", out of the slices of a rolling window, the oldest first.
local function take(key, unit, amount, oldest, latest, step)
  for ends = oldest, latest, step do
    local field = slice(ends, unit)
    if redis.call('HEXISTS', key, field) == 1 then
      redis.call('HINCRBY', key, field, amount)
      local left = redis.call('HGET', key, field)
      if string.sub(left, 1, 1) ~= '-' then return end
      redis.call('HSET', key, field, '0')
      amount = left
    end
  end
end

-- Adds the amounts, which are texts, to the spend of a key. No sum falls below 0. Returns the end of a rolling window's
-- latest slice plus the window: until then the key is kept. Where a clock has gone back, there is a later slice.
local function spend(key, amounts, rolling, now)
  local oldest, latest, step
  if rolling then
    step = width(rolling)
    latest = (math.floor(now / step) + 1) * step
    local found = redis.call('HMGET', key, 'oldest', 'latest')
    if found[2] and tonumber(found[2]) > latest then latest = tonumber(found[2]) end
    oldest = tonumber(found[1] or latest)
    redis.call('HSET', key, 'rolling', integer(rolling), 'oldest', integer(oldest), 'latest', integer(latest))
  end
  for u, unit in ipairs(UNITS) do
    local amount = amounts[u]
    if amount ~= '0' then
      local sum = redis.call('HINCRBY', key, unit, amount)
      if sum < 0 then redis.call('HSET', key, unit, '0') end
      if rolling and string.sub(amount, 1, 1) == '-' then
        take(key, unit, amount, oldest, latest, step)
      elseif rolling then
        redis.call('HINCRBY', key, slice(latest, unit), amount)
      end
    end
  end
  return rolling and latest + rolling
end

-- Returns when enough of a rolling window is free again for a call, if nothing more is spent; '' if that is not known.
local function free_at(key, unit, limit, counts)
  local found = redis.call('HMGET', key, 'rolling', 'oldest', 'latest')
  if not found[1] then return '' end
  local rolling, freed = tonumber(found[1]), {}
  for ends = tonumber(found[2]), tonumber(found[3]), width(rolling) do
    local spent = redis.call('HGET', key, slice(ends, unit))
    if spent and spent ~= '0' then
      freed[#freed + 1] = spent
      if not above(limit, counts, freed) then return integer(ends + rolling) end
    end
  end
  return ''
end

-- Returns a key without its expired reservations and without what is older than its rolling window, if it has one;
-- empty if the key has ended.
local function open(key, now, rolling)
  if rolling then age(key, now) end
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
-- `rolling` has the seconds of each claim's rolling window, or 0; nothing if no claim has one.
local function accounts(now, rolling)
  local found, opened = {}, {}
  for k = 2, #KEYS do
    opened[KEYS[k]] = opened[KEYS[k]] or open(KEYS[k], now, rolling and rolling[k - 1] ~= '0')
    found[k - 1] = opened[KEYS[k]]
  end
  return found
end

-- Returns the later one of a claim's end, which is text, and of the end of a rolling window, if there is one.
local function later(ends, of_rolling)
  if of_rolling and of_rolling > tonumber(ends) then return integer(of_rolling) end
  return ends
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
