-- KEYS: the call, then the hash of each claim. ARGV: the member of the zsets; then words: now, the expiry time, an
-- amount for each unit; and for each claim its end and a limit for each unit ("-": none); words of the claims' rolling
-- windows, if one has one. Returns nothing, or the refusal: claim and unit (from 1), spent, held, and when enough of
-- all rolling windows is free again. Of several refusals, one that waiting cannot help.
local member = ARGV[1]
local given = words(ARGV[2])
local now, expires = tonumber(given[1]), given[2]

local record = redis.call('LRANGE', KEYS[1], 0, -1)
if record[1] then
  if tonumber(record[2]) > now then return false end
  drop(KEYS[1], record)
end

local claimed = accounts(now, ARGV[3] and words(ARGV[3]))
local refusal, waiting, free = false, false, 0
for c, account in ipairs(claimed) do
  for u, unit in ipairs(UNITS) do
    local limit, amount = given[2 + c * (#UNITS + 1) + u], given[2 + u]
    local spent, held = account.counts[u], account.counts[u + #UNITS]
    if limit ~= '-' and above(limit, {spent, held, amount}) then
      local helps = not above(limit, {spent, amount})
      if not refusal or (waiting and not helps) then refusal, waiting = {c, u, spent, held}, helps end
      local at = free and free_at(account, unit, limit, {spent, held, amount})
      free = at and math.max(free, at)
    end
  end
end
if refusal then
  refusal[5] = free and string.format('%.17g', free) or ''
  return refusal
end

local names = {}
for c, account in ipairs(claimed) do
  local added = redis.call('ZADD', account.holds, expires, member) == 1
  if added then
    names[#names + 1] = account.key
    names[#names + 1] = account.holds
    for u, unit in ipairs(UNITS) do
      if given[2 + u] ~= '0' then redis.call('HINCRBY', account.key, 'held:' .. unit, given[2 + u]) end
    end
  end
  local ends = given[2 + c * (#UNITS + 1)]
  if tonumber(ends) < tonumber(expires) then ends = expires end
  keep(account, ends, now, added)
end
remember(KEYS[1], 'held', expires, now, member, unpack(names))
return false
