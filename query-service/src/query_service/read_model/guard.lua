-- Every script begins with this: it reads pointer, marker and token keys in the same atomic step as its data, and
-- answers with them alone when the data would be of a generation that is not live, or not whole.
-- KEYS: pointer, marker, token keys, then the script's own. ARGV: expected generation, number of the head's keys, …
local head_size = tonumber(ARGV[2])
local head = redis.call('MGET', unpack(KEYS, 1, head_size))
if head[1] ~= ARGV[1] or not head[2] then
  return {head}
end

-- The documents of index members, each of which ends with the 16 bytes of an id.
local function documents_of(members, prefix, count)
  local keys = {}
  for n = 1, math.min(#members, count) do
    keys[n] = prefix .. string.format(
      '%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x', string.byte(members[n], -16, -1))
  end
  return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end

