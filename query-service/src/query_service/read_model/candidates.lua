-- Which index members could match a search.
-- KEYS after the head: word indexes. ARGV[3] how many members a prefix may have to be worth listing; then the prefixes.
-- Answers for each prefix: how many members have it, and those (without their word) where there are not too many.
local limit = tonumber(ARGV[3])
local answer = {head}
for i = 4, #ARGV do
  local low, high = '[' .. ARGV[i], '(' .. ARGV[i] .. '\255'
  local count = 0
  for k = head_size + 1, #KEYS do
    count = count + redis.call('ZLEXCOUNT', KEYS[k], low, high)
  end
  local found = {}
  if count <= limit then
    for k = head_size + 1, #KEYS do
      for _, member in ipairs(redis.call('ZRANGE', KEYS[k], low, high, 'BYLEX')) do
        found[#found + 1] = string.sub(member, string.find(member, '\0', 1, true) + 1)
      end
    end
  end
  answer[#answer + 1] = count
  answer[#answer + 1] = found
end
return answer
