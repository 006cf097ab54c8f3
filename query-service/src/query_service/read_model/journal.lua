-- Entries of a journal behind a position.
-- KEYS after the head: the journal; and the document of what it tells of, where there is one such thing.
-- ARGV[3] lower bound, ARGV[4] how many entries.
-- Answers up to ARGV[4] + 1 members (the last one only says that there are more), and the document.
local members = redis.call('ZRANGE', KEYS[head_size + 1], ARGV[3], '+', 'BYLEX', 'LIMIT', 0, ARGV[4] + 1)
local subject = KEYS[head_size + 2] and redis.call('GET', KEYS[head_size + 2])
return {head, members, subject or false}
