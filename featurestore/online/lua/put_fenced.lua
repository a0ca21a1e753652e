-- Store or remove values of one slot, unless a newer owner writes there.
--
-- KEYS: fence, then keys.  ARGV: the writer (fence.lua); then per key its value, and for how many milliseconds it is kept:
-- 0 for ever, -1 to remove it instead.

local KEYS, ARGV, call = KEYS, ARGV, redis.call
local fence = call('GET', KEYS[1])
if fence ~= ARGV[1] and outranked(fence, ARGV[1]) then
  return redis.error_reply('FENCED a newer owner writes here')
end

for k = 2, #KEYS do
  local value, keep_ms = ARGV[2 * k - 2], ARGV[2 * k - 1]
  if keep_ms == '0' then
    call('SET', KEYS[k], value)
  elseif keep_ms == '-1' then
    call('DEL', KEYS[k])
  else
    call('SET', KEYS[k], value, 'PX', keep_ms)
  end
end
return #KEYS - 1
