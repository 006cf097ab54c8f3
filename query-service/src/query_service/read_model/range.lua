-- Ranges of indexes with the documents of their members.
-- KEYS after the head: indexes. ARGV[3] prefix of the documents' keys, ARGV[4] how many members of each index;
-- then for each index its lower and upper bound.
-- Answers for each index: up to ARGV[4] + 1 members (the last one only says that there are more), and the documents
-- of the first ARGV[4].
local count = tonumber(ARGV[4])
local answer = {head}
for i = head_size + 1, #KEYS do
  local bounds = 5 + 2 * (i - head_size - 1)
  local members = redis.call('ZRANGE', KEYS[i], ARGV[bounds], ARGV[bounds + 1], 'BYLEX', 'LIMIT', 0, count + 1)
  answer[#answer + 1] = members
  answer[#answer + 1] = documents_of(members, ARGV[3], count)
end
return answer
