-- Count entries as committed, and forget those that history has.
--
-- KEYS: stream, meta.  ARGV: generation, rows up to the position, 'commit' or 'trim'.
-- Returns 1; 0 if the position is of another stream; -1 if it lies beyond the stream's end.

local meta = redis.call('HMGET', KEYS[2], 'generation', 'appended', 'committed')
if meta[1] ~= ARGV[1] then
  return 0
end
local total = tonumber(ARGV[2])
if total > tonumber(meta[2] or 0) then
  return -1
end
if ARGV[3] == 'trim' then
  redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', total + 1))
elseif total > tonumber(meta[3] or 0) then
  local id = string.format('%.0f-0', total)
  redis.call('HSET', KEYS[2], 'committed', string.format('%.0f', total))
  redis.pcall('XGROUP', 'CREATE', KEYS[1], 'unskew', id, 'MKSTREAM')
  redis.call('XGROUP', 'SETID', KEYS[1], 'unskew', id)
end
return 1
