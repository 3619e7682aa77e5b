-- KEYS: the hash of a key. ARGV: now. Returns the words of its standing.
return table.concat(look(KEYS[1], tonumber(ARGV[1])), ' ', 1, 2 * #UNITS)
