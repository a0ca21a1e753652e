-- Renew or release a lease that nobody else took since, be it over or not.
--
-- KEYS: lease, meta.  ARGV: its epoch, milliseconds; 0 to release it.
-- Returns 1, or 0 if the lease is lost.

if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
