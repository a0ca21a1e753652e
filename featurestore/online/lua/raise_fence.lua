-- Raise a fence to a writer's height, unless it is higher.
--
-- KEYS: fence.  ARGV: the writer (fence.lua).

if outranked(redis.call('GET', KEYS[1]), ARGV[1]) then
  return redis.error_reply('FENCED a newer owner writes here')
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
