-- A stretch of a word index.
-- KEYS after the head: the index. ARGV[3] lower bound, ARGV[4] prefix, ARGV[5] how many members at most.
-- Answers the members with a word of this prefix, from the bound on.
return {head, redis.call('ZRANGE', KEYS[head_size + 1], ARGV[3], '(' .. ARGV[4] .. '\255', 'BYLEX', 'LIMIT', 0, ARGV[5])}
