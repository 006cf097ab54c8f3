-- One hash, whole. KEYS after the head: the hash.
return {head, redis.call('HGETALL', KEYS[head_size + 1])}
