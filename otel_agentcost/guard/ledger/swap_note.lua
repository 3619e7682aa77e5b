-- KEYS: the note, a string. ARGV: the note as it must be, the new one (of each, empty text stands for no note), and the
-- life of the new one in milliseconds. Returns 1 if it was replaced.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
