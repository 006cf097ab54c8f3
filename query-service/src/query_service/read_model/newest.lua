-- The newest products with a word of a certain prefix, behind a position.
-- KEYS after the head: word indexes. ARGV[3] prefix, ARGV[4] position (empty: from the start), ARGV[5] how many
-- members of each word, ARGV[6] how many distinct words are merged at most, ARGV[7] prefix of the documents' keys
-- (empty: no documents are wanted).
-- Answers 'words' and for each distinct word up to ARGV[5] + 1 members (without the word); or 'many' alone, when there
-- are too many words; or, when there is one word and documents are wanted, 'page', its members and the documents of
-- the first ARGV[5].
local count = tonumber(ARGV[5])
local answer = {head, 'words'}
for k = head_size + 1, #KEYS do
  local after = '[' .. ARGV[3]
  while true do
    local first = redis.call('ZRANGE', KEYS[k], after, '(' .. ARGV[3] .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
    if not first then
      break
    end
    if #answer - 2 >= tonumber(ARGV[6]) then
      return {head, 'many'}
    end
    local word = string.sub(first, 1, string.find(first, '\0', 1, true))
    local low = ARGV[4] == '' and '[' .. word or '(' .. word .. ARGV[4]
    after = '[' .. string.sub(word, 1, -2) .. '\1'
    local members = redis.call('ZRANGE', KEYS[k], low, '(' .. string.sub(word, 1, -2) .. '\1', 'BYLEX', 'LIMIT', 0, count + 1)
    for n = 1, #members do
      members[n] = string.sub(members[n], #word + 1)
    end
    answer[#answer + 1] = members
  end
end
if #answer == 3 and ARGV[7] ~= '' then
  return {head, 'page', answer[3], documents_of(answer[3], ARGV[7], count)}
end
return answer
