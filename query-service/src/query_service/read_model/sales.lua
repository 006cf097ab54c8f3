-- Sums of several days. KEYS after the head: the shop's currency, then a hash for each day. ARGV from 3: fields.
-- Answers the currency, and for each day the values of its fields.
local answer = {head, redis.call('GET', KEYS[head_size + 1])}
for n = head_size + 2, #KEYS do
  answer[#answer + 1] = redis.call('HMGET', KEYS[n], unpack(ARGV, 3))
end
return answer
