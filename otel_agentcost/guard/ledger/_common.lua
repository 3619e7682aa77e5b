-- Shared by all verbs: each script is the constants GRACE, KEEP, SLICES and BATCH, this file, and the file of the verb.
--
-- {agentcost}:key:<key>    hash   the spend in each unit, the reserved amounts as "held:" and the unit, and "until"
--                                 a rolling window: its seconds as "rolling", the ends of its "slices", the oldest
--                                 first, and the spend in each as "slice:", its end, ":" and the unit (there is
--                                 no other sum); and as "behind" since when
--                                 all calls are far behind the newest one (see `freed` in core/ledger.py)
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

-- Returns the spend of a key without a rolling window in each unit, then the reserved amounts, then the end of the key (false: no such key).
local function figures(key)
  local found = redis.call('HMGET', key, unpack(FIELDS))
  for i = 1, 2 * #UNITS do
    if not found[i] or string.sub(found[i], 1, 1) == '-' then found[i] = '0' end
  end
  return found
end

-- Returns the sum of counts.
local function total(counts)
  local high, low = 0, 0
  for _, count in ipairs(counts) do
    high = high + (tonumber(string.sub(count, 1, -10)) or 0)
    low = low + tonumber(string.sub(count, -9))
  end
  high, low = high + math.floor(low / 1e9), low % 1e9
  if high > 0 then return string.format('%.0f%09.0f', high, low) end
  return string.format('%.0f', low)
end

-- Returns the end of the slice of a rolling window that now is in.
local function slice_end(rolling, now)
  return (math.floor((now + GRACE) / width(rolling)) + 1) * width(rolling)
end

-- Returns what a clock sees of a rolling window: its seconds, the ends of all slices, and of those that count each
-- with the time at which it is freed; nothing if the key has none. As `freed` in core/ledger.py, which says why. If the
-- clock is only looking, it is not noted that it is behind.
local function view(key, now, looking)
  local found = redis.call('HMGET', key, 'rolling', 'slices', 'behind')
  if not found[1] then return nil end
  local seen = {rolling = tonumber(found[1]), ends = {}, times = {}}
  for _, word in ipairs(words(found[2])) do seen.ends[#seen.ends + 1] = tonumber(word) end
  local far, behind = slice_end(seen.rolling, now) + seen.rolling, false
  if #seen.ends > 0 and seen.ends[#seen.ends] > far then behind = tonumber(found[3] or now) end
  if not looking and behind and not found[3] then
    redis.call('HSET', key, 'behind', string.format('%.17g', behind))
  elseif not looking and found[3] and not behind then
    redis.call('HDEL', key, 'behind')
  end
  for _, ends in ipairs(seen.ends) do
    local at = ends + seen.rolling
    if ends > far then at = behind + seen.rolling + GRACE end
    if at > now then seen.times[ends] = at end
  end
  return seen
end

-- Replaces the counts of spend by those of a rolling window that count.
local function count_slices(key, seen, counts)
  local amounts = {{}, {}, {}, {}}
  for _, ends in ipairs(seen.ends) do
    if seen.times[ends] then
      local fields = {}
      for u, unit in ipairs(UNITS) do fields[u] = slice(ends, unit) end
      for u, spent in ipairs(redis.call('HMGET', key, unpack(fields))) do
        if spent then amounts[u][#amounts[u] + 1] = spent end
      end
    end
  end
  for u = 1, #UNITS do counts[u] = total(amounts[u]) end
end

-- Takes an amount, whose text begins with "-", out of the slices of a rolling window that count, the oldest first.
local function take(key, unit, amount, seen)
  for _, ends in ipairs(seen.ends) do
    local field = slice(ends, unit)
    if seen.times[ends] and redis.call('HEXISTS', key, field) == 1 then
      redis.call('HINCRBY', key, field, amount)
      local left = redis.call('HGET', key, field)
      if string.sub(left, 1, 1) ~= '-' then return end
      redis.call('HSET', key, field, '0')
      amount = left
    end
  end
end

-- Returns the slice of a rolling window in which spend is counted, after it was added to those that are seen. Slices
-- that nobody needs are deleted (see `slice_to_spend` and `outdated` in core/ledger.py).
local function add_slice(key, seen, now)
  local current = slice_end(seen.rolling, now)
  local chosen, new = current, true
  for _, ends in ipairs(seen.ends) do
    if ends > current and ends <= current + seen.rolling then chosen = ends end
  end
  for _, ends in ipairs(seen.ends) do new = new and ends ~= chosen end
  if new then
    seen.ends[#seen.ends + 1] = chosen
    table.sort(seen.ends)
  end
  seen.times[chosen] = seen.times[chosen] or chosen + seen.rolling
  local newest, surplus, kept = 0, #seen.ends - KEPT_SLICES, {}
  for ends in pairs(seen.times) do newest = math.max(newest, ends) end
  for _, ends in ipairs(seen.ends) do
    if seen.times[ends] or (ends < newest and surplus <= 0) then
      kept[#kept + 1] = integer(ends)
    else
      for _, unit in ipairs(UNITS) do redis.call('HDEL', key, slice(ends, unit)) end
      if ends < newest then surplus = surplus - 1 end
    end
  end
  redis.call('HSET', key, 'rolling', integer(seen.rolling), 'slices', table.concat(kept, ' '))
  return chosen
end

-- Adds the amounts, which are texts, to the spend of a key. No sum falls below 0. Returns the end of the slice of a
-- rolling window in which they are counted, plus the window.
local function spend(key, amounts, rolling, now)
  local seen, chosen
  if rolling then
    seen = view(key, now, false) or {rolling = rolling, ends = {}, times = {}}
    chosen = add_slice(key, seen, now)
  end
  for u, unit in ipairs(UNITS) do
    local amount = amounts[u]
    if amount ~= '0' then
      if rolling and string.sub(amount, 1, 1) == '-' then
        take(key, unit, amount, seen)
      elseif rolling then
        redis.call('HINCRBY', key, slice(chosen, unit), amount)
      else
        local sum = redis.call('HINCRBY', key, unit, amount)
        if sum < 0 then redis.call('HSET', key, unit, '0') end
      end
    end
  end
  return rolling and chosen + rolling
end

-- Returns when enough of a rolling window is free again for a call, if nothing more is spent; nothing if that is not
-- known.
local function free_at(account, unit, limit, counts)
  local seen = account.seen
  if not seen then return nil end
  local order, freed = {}, {}
  for ends, at in pairs(seen.times) do order[#order + 1] = {at, ends} end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  for _, each in ipairs(order) do
    local spent = redis.call('HGET', account.key, slice(each[2], unit))
    if spent and spent ~= '0' then
      freed[#freed + 1] = spent
      if not above(limit, counts, freed) then return each[1] end
    end
  end
  return nil
end

-- Brings the counts of an account up to date.
local function recount(account, now)
  account.counts = figures(account.key)
  account.seen = view(account.key, now, account.looking)
  if account.seen then count_slices(account.key, account.seen, account.counts) end
  return account
end

local function named(key)
  return {key = key, holds = '{agentcost}:holds:' .. string.sub(key, #'{agentcost}:key:' + 1)}
end

-- Returns a key without its expired reservations; empty if the key has ended. One with a rolling window ends by the
-- clock of Redis alone: what is old for this clock may count for others.
local function open(key, now, rolling)
  local account = named(key)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', account.holds, '-inf', now)) do
    unhold(key, account.holds, member)
  end
  recount(account, now)
  local ends = account.counts[#FIELDS]
  if ends and tonumber(ends) + GRACE <= now and not rolling then
    redis.call('DEL', key, account.holds)
    account.counts = figures(key)
    ends = false
  end
  account.ends = ends
  account.rolling = rolling
  return account
end

-- Returns the counts of a key for a clock that only looks, which may be ahead: nothing is changed.
local function look(key, now)
  local account = named(key)
  account.looking = true
  recount(account, now)
  local ends = account.counts[#FIELDS]
  if ends and tonumber(ends) + GRACE <= now and not account.seen then
    for u = 1, #UNITS do account.counts[u] = '0' end
  end
  local held = {{}, {}, {}, {}}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', account.holds, '(' .. string.format('%.17g', now), '+inf')) do
    for u, amount in ipairs({string.match(member, '^(%d+) (%d+) (%d+) (%d+) ')}) do held[u][#held[u] + 1] = amount end
  end
  for u = 1, #UNITS do account.counts[u + #UNITS] = total(held[u]) end
  return account.counts
end

-- Returns the accounts of the claims, from KEYS[2] on. Two rules can have limits on one key: it is one account.
-- `rolling` has the seconds of each claim's rolling window, or 0; nothing if no claim has one.
local function accounts(now, rolling)
  local found, opened = {}, {}
  for k = 2, #KEYS do
    opened[KEYS[k]] = opened[KEYS[k]] or open(KEYS[k], now, rolling and rolling[k - 1] ~= '0' and tonumber(rolling[k - 1]))
    found[k - 1] = opened[KEYS[k]]
  end
  return found
end

-- Returns the later one of a claim's end, which is text, and of the end of a rolling window, if there is one.
local function later(ends, of_rolling)
  if of_rolling and of_rolling > tonumber(ends) then return integer(of_rolling) end
  return ends
end

-- Lets a name live for so many seconds more, unless it lives longer.
local function extend(name, seconds)
  local left = seconds * 1000
  if redis.call('PTTL', name) < left then redis.call('PEXPIRE', name, integer(left)) end
end

-- Extends both names of a key to `ends`, unless they live longer. Redis' own clock only ever deletes late: for how long
-- they must live is measured by the clock of the call, as "until" may be of a clock that is ahead. All that is spent
-- in a rolling window counts for a window from now on, whichever slice it is in.
local function keep(account, ends, now, added)
  local before = account.ends
  local later = not before or tonumber(ends) > tonumber(before)
  if later then
    redis.call('HSET', account.key, 'until', ends)
    account.ends = ends
  end
  if tonumber(account.ends) >= KEEP then
    if before and later then
      redis.call('PERSIST', account.key)
      redis.call('PERSIST', account.holds)
    end
    return
  end
  local left = math.max(tonumber(ends) - now, 0) + GRACE
  if account.rolling then left = math.max(left, account.rolling + 2 * width(account.rolling) + 2 * GRACE) end
  extend(account.key, left)
  if added or later then extend(account.holds, left) end
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
