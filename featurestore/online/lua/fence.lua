-- Tell whether a fence stands before a writer. This file is put before each script that needs it.
--
-- A fence, and what a writer says of itself, is "<epoch> <connection>": the epoch of a source's owner, and the number of
-- the connection it writes by. Both are small numbers, which a Lua number holds exactly; strings are only compared for
-- equality, as their order follows the server's locale.

local function outranked(fence, own)
  if not fence then
    return false
  end
  local epoch, connection = string.match(fence, '^(%d+) (%d+)$')
  local own_epoch, own_connection = string.match(own, '^(%d+) (%d+)$')
  if epoch ~= own_epoch then
    return tonumber(epoch) > tonumber(own_epoch)
  end
  return tonumber(connection) > tonumber(own_connection)
end

