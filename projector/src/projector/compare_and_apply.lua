-- Applies a list of commands if the world is still as it was read; knows nothing of commerce.
-- All checks come before the first write, because scripts don't roll back.
--
-- ARGV: first the run id that the server must have, or "" for any: a server that was restarted may have lost what
-- was read from it. Then one part after the other, each but the last led by its count:
--   guards      key, value     the key must be there, with this value unless it is ""
--   values      key, value     the string must be this; "" means absent
--   fields      hash, field, value   likewise for a hash's field
--   revisions   key, first line      the string must begin with this; "" means absent
--   increments  command, key, count of pairs, pairs...   the command is called with each pair
--   commands    length, arguments...    until the end
-- Returns 1 when applied, 0 when something has changed since it was read, -1 when a guard fails.
-- Numbers are only ever handed on as text: Lua's would lose digits beyond 2^53.

local at = 1

local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end

local server = take()
if server ~= '' and not string.find(redis.call('INFO', 'server'), 'run_id:' .. server, 1, true) then
  return -1
end

for _ = 1, tonumber(take()) do
  local key = take()
  local expected = take()
  local value = redis.call('GET', key)
  if not value or (expected ~= '' and value ~= expected) then
    return -1
  end
end

for _ = 1, tonumber(take()) do
  local key = take()
  if (redis.call('GET', key) or '') ~= take() then
    return 0
  end
end

for _ = 1, tonumber(take()) do
  local hash = take()
  local field = take()
  if (redis.call('HGET', hash, field) or '') ~= take() then
    return 0
  end
end

for _ = 1, tonumber(take()) do
  local key = take()
  local line = take()
  -- An absent document is the empty string here; one that is there has at least its line feed.
  if redis.call('GETRANGE', key, 0, math.max(#line - 1, 0)) ~= line then
    return 0
  end
end

for _ = 1, tonumber(take()) do
  local command = take()
  local key = take()
  for _ = 1, tonumber(take()) do
    local first = take()
    redis.call(command, key, first, take())
  end
end

local size = #ARGV
while at <= size do
  local length = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + length))
  at = at + length + 1
end
return 1
