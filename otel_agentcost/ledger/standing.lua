-- KEYS: the hash of a key. ARGV: now. Returns its standing.
local counts = open(KEYS[1], tonumber(ARGV[1])).counts
counts[#FIELDS] = nil
return counts
