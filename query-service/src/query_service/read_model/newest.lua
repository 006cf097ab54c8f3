-- The newest products with a word of a certain prefix, behind a position.
-- KEYS after the head: word indexes. ARGV[3] prefix, ARGV[4] position (empty: from the start), ARGV[5] how many
-- members of each word, ARGV[6] how many distinct words are merged at most, ARGV[7] prefix of the documents' keys
-- (empty: no documents are wanted).
-- Answers 'many' alone when there are too many words; where documents are wanted, 'page', the first ARGV[5] + 1
-- members (the last one only says that there are more) and the documents of the others; else 'words' and for each
-- distinct word up to ARGV[5] + 1 members. Members come without their word.
local count = tonumber(ARGV[5])
local lists = {}
for k = head_size + 1, #KEYS do
  local after = '[' .. ARGV[3]
  while true do
    local first = redis.call('ZRANGE', KEYS[k], after, '(' .. ARGV[3] .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
    if not first then
      break
    end
    if #lists >= tonumber(ARGV[6]) then
      return {head, 'many'}
    end
    local word = string.sub(first, 1, string.find(first, '\0', 1, true))
    local low = ARGV[4] == '' and '[' .. word or '(' .. word .. ARGV[4]
    after = '[' .. string.sub(word, 1, -2) .. '\1'
    local members = redis.call('ZRANGE', KEYS[k], low, '(' .. string.sub(word, 1, -2) .. '\1', 'BYLEX', 'LIMIT', 0, count + 1)
    for n = 1, #members do
      members[n] = string.sub(members[n], #word + 1)
    end
    lists[#lists + 1] = members
  end
end
if ARGV[7] == '' then
  return {head, 'words', unpack(lists)}
end

-- Lua compares by the server's locale, which orders digits and letters as bytes do, but not the bytes of an id.
local function place_of(member)
  return member and string.sub(member, 1, -17) .. id_of(member)
end

local members, at, places = lists[1] or {}, {}, {}
if #lists > 1 then
  members = {}
  for n = 1, #lists do
    at[n], places[n] = 1, place_of(lists[n][1])
  end
  while #members <= count do
    local first
    for n = 1, #lists do
      if places[n] and (not first or places[n] < places[first]) then
        first = n
      end
    end
    if not first then
      break
    end
    local member = lists[first][at[first]]
    if member ~= members[#members] then
      members[#members + 1] = member
    end
    at[first] = at[first] + 1
    places[first] = place_of(lists[first][at[first]])
  end
end
return {head, 'page', members, documents_of(members, ARGV[7], count)}
