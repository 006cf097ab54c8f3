-- Every script begins with this: it reads pointer, marker and token keys in the same atomic step as its data, and
-- answers with them alone when the data would be of a generation that is not live, or not whole.
-- KEYS: pointer, marker, token keys, then the script's own. ARGV: expected generation, number of the head's keys, …
local head_size = tonumber(ARGV[2])
local head = redis.call('MGET', unpack(KEYS, 1, head_size))
if head[1] ~= ARGV[1] or not head[2] then
  return {head}
end

-- The id at the end of an index member: 16 bytes, written as a UUID.
local function id_of(member)
  return string.format(
    '%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x', string.byte(member, -16, -1))
end

-- The documents of the first `count` index members.
local function documents_of(members, prefix, count)
  local keys = {}
  for n = 1, math.min(#members, count) do
    keys[n] = prefix .. id_of(members[n])
  end
  return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
end
