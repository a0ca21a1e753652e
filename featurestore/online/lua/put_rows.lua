-- Store pairs of row and log, each unless the stored row is newer. All keys are of one slot.
--
-- KEYS: row key, log key, and so on.  ARGV: row, log, and so on; an empty log removes the stored one.
-- Returns the number of pairs written.
--
-- The stamp is bytes 17 to 32 (1-based) of a row, big-endian. Four 32-bit numbers are compared in turn, as a Lua
-- number is a double, and comparing strings would follow the server's locale.

local function stamp(value)
  if not value or #value < 32 or string.sub(value, 1, 1) ~= 'u' then
    return 0, 0, 0, 0
  end
  return struct.unpack('>I4I4I4I4', string.sub(value, 17, 32))
end

local function newer(stored, given)
  local a = {stamp(stored)}
  local b = {stamp(given)}
  for i = 1, 4 do
    if a[i] ~= b[i] then
      return a[i] > b[i]
    end
  end
  return false
end

local written = 0
for i = 1, #KEYS, 2 do
  local stored = redis.call('GETRANGE', KEYS[i], 0, 31)
  if not newer(stored, ARGV[i]) then
    redis.call('SET', KEYS[i], ARGV[i])
    if ARGV[i + 1] == '' then
      redis.call('DEL', KEYS[i + 1])
    else
      redis.call('SET', KEYS[i + 1], ARGV[i + 1])
    end
    written = written + 1
  end
end
return written
