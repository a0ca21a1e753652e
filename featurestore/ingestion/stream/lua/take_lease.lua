-- Take a source's lease unless somebody has it.
--
-- KEYS: lease, meta.  ARGV: owner, milliseconds, an epoch to be above.
-- Returns the lease's epoch, or 0 if it is held.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local epoch = math.max(tonumber(redis.call('HGET', KEYS[2], 'epoch') or 0), tonumber(ARGV[3])) + 1
redis.call('HSET', KEYS[2], 'epoch', string.format('%.0f', epoch), 'owner', ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', epoch), 'PX', ARGV[2])
return epoch
