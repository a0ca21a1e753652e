-- Make the changes of a commit to keys of one slot: each whole, once, and on the row it was made for.
--
-- KEYS: fence; then per change row key, log key, keys of parts to store, keys of parts to remove.
-- ARGV: the writer (fence.lua), the commit's stamp; then per change the stamp expected ('' for no row), how, row, log, and
--       the parts to store. How is "a" to append to the log or "s" to set it; "a2:1" has two parts to store and one to
--       remove.
-- Returns the number of changes made now, or the row keys of those that met another stamp, which are not made.
--
-- A row's stamp is bytes 16 to 31 of it. Numbers are written as strings for redis.call, which is slow to format them.

local KEYS, ARGV, call = KEYS, ARGV, redis.call
local fence = call('GET', KEYS[1])
if fence ~= ARGV[1] and outranked(fence, ARGV[1]) then
  return redis.error_reply('FENCED a newer owner writes here')
end

local function is_row(key)
  local head = call('GETRANGE', key, '0', '31')
  return #head == 32 and string.sub(head, 1, 1) == 'u'
end

local function store_parts(how, k, a)
  local stored, removed = string.match(how, '^.(%d+):(%d+)$')
  for i = 1, stored do
    call('SET', KEYS[k + i], ARGV[a + i])
  end
  for i = stored + 1, stored + removed do
    call('DEL', KEYS[k + i])
  end
end

local stamp, made, conflicts = ARGV[2], 0, nil
local k, a = 2, 3
local row_key = KEYS[k]
while row_key do
  local expected, how = ARGV[a], ARGV[a + 1]
  local found = call('GETRANGE', row_key, '16', '31')
  if found == stamp then
    -- an earlier try made it
  elseif found == expected or (expected == '' and not is_row(row_key)) then
    call('SET', row_key, ARGV[a + 2])
    call(string.byte(how) == 97 and 'APPEND' or 'SET', KEYS[k + 1], ARGV[a + 3])
    if #how > 1 then
      store_parts(how, k + 1, a + 3)
    end
    made = made + 1
  else
    conflicts = conflicts or {}
    conflicts[#conflicts + 1] = row_key
  end
  k, a = k + 2, a + 4
  if #how > 1 then
    local stored, removed = string.match(how, '^.(%d+):(%d+)$')
    k, a = k + stored + removed, a + stored
  end
  row_key = KEYS[k]
end
return conflicts or made
