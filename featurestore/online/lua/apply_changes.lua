-- Make the changes of a commit to keys of one slot: each whole, once, and on the row it was made for.
--
-- KEYS: fence; then per change row key, log key, keys of parts to store, keys of parts to remove.
-- ARGV: the writer (fence.lua), the commit's stamp; then per change the stamp expected (16 zero bytes: no row), how,
--       row, log, and the parts to store. How is "a" to append to the log or "s" to set it; "a2:1" has two parts to store
--       and one to remove.
-- Returns the number of changes made now, or the row keys of those that met another stamp, which are not made.

local KEYS, ARGV, call, sub = KEYS, ARGV, redis.call, string.sub
if outranked(call('GET', KEYS[1]), ARGV[1]) then
  return redis.error_reply('FENCED a newer owner writes here')
end

local stamp, nothing = ARGV[2], string.rep('\0', 16)
local made, conflicts = 0, {}
local k, a, keys = 2, 3, #KEYS

while k <= keys do
  local row_key, log_key, how = KEYS[k], KEYS[k + 1], ARGV[a + 1]
  local parts, removed = 0, 0
  if #how > 1 then
    parts, removed = string.match(how, '^.(%d+):(%d+)$')
    parts, removed = tonumber(parts), tonumber(removed)
  end
  local found = call('GETRANGE', row_key, 0, 31)
  if #found == 32 and sub(found, 1, 1) == 'u' then
    found = sub(found, 17)
  else
    found = nothing
  end
  if found ~= stamp then
    if found == ARGV[a] then
      call('SET', row_key, ARGV[a + 2])
      call(sub(how, 1, 1) == 'a' and 'APPEND' or 'SET', log_key, ARGV[a + 3])
      for i = 1, parts do
        call('SET', KEYS[k + 1 + i], ARGV[a + 3 + i])
      end
      for i = parts + 1, parts + removed do
        call('DEL', KEYS[k + 1 + i])
      end
      made = made + 1
    else
      conflicts[#conflicts + 1] = row_key
    end
  end
  k = k + 2 + parts + removed
  a = a + 4 + parts
end

if #conflicts > 0 then
  return conflicts
end
return made
