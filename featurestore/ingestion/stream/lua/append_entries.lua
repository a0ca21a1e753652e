-- Append entries to a source's stream, all or none.
--
-- KEYS: stream, meta.  ARGV: rows that may wait, a generation for a new stream, the instant; then rows, payload and so on.
-- Returns 1, or 0 if the rows would exceed the limit; then the rows that waited before.
--
-- An entry's id is the number of rows up to and with it, since the stream began: "<rows>-0". Numbers stay below 2^53.

local meta = redis.call('HMGET', KEYS[2], 'generation', 'appended', 'committed')
local total = tonumber(meta[2] or 0)
local waiting = total - tonumber(meta[3] or 0)
local given = 0
for i = 4, #ARGV, 2 do
  given = given + tonumber(ARGV[i])
end
if waiting + given > tonumber(ARGV[1]) then
  return {0, waiting}
end
if not meta[1] then
  redis.call('HSET', KEYS[2], 'generation', ARGV[2])
end
for i = 4, #ARGV, 2 do
  total = total + tonumber(ARGV[i])
  redis.call('XADD', KEYS[1], string.format('%.0f-0', total), 'r', ARGV[i], 't', ARGV[3], 'p', ARGV[i + 1])
end
redis.call('HSET', KEYS[2], 'appended', string.format('%.0f', total))
return {1, waiting}
