-- The products that a product is shown with: those bought with it most often, then the best rated of its category.
-- KEYS after the head: its document, and the sorted set of the products bought with it.
-- ARGV[3] prefix of the documents' keys, ARGV[4] prefix of the keys of the categories' indexes, best rated first,
-- ARGV[5] how many are wanted, ARGV[6] how many candidates of each kind are looked at, at most.
-- Answers its document, and those of the products found: no discontinued one, none twice, never itself.
local own = KEYS[head_size + 1]
local product = redis.call('GET', own)
if not product or string.sub(product, 1, 1) == '-' then
  return {head, product}
end

local wanted = tonumber(ARGV[5])
local found, seen = {}, {[own] = true}

-- A hidden document begins with '-'. In JSON text these bytes can only be the field: a quote in a string is escaped.
local function is_on_sale(document)
  return document and string.sub(document, 1, 1) ~= '-'
    and not string.find(document, '"is_discontinued":true', 1, true)
end

local function take(ids)
  local keys = {}
  for _, id in ipairs(ids) do
    local key = ARGV[3] .. id
    if not seen[key] then
      seen[key] = true
      keys[#keys + 1] = key
    end
  end
  for _, document in ipairs(#keys > 0 and redis.call('MGET', unpack(keys)) or {}) do
    if #found < wanted and is_on_sale(document) then
      found[#found + 1] = document
    end
  end
end

-- `read` gives the candidates from a rank on, so many of them.
local function walk(read)
  local step = 2 * wanted
  local at, most = 0, tonumber(ARGV[6])
  while at < most and #found < wanted do
    local ids = read(at, math.min(step, most - at))
    take(ids)
    if #ids < step then
      return
    end
    at = at + step
  end
end

walk(function(at, count)
  return redis.call('ZRANGE', KEYS[head_size + 2], '-inf', '(0', 'BYSCORE', 'LIMIT', at, count)
end)
local category = cjson.decode(string.sub(product, string.find(product, '\n', 1, true) + 1))['category']
if type(category) == 'string' then
  walk(function(at, count)
    local ids = {}
    for n, member in ipairs(redis.call('ZRANGE', ARGV[4] .. category, at, at + count - 1)) do
      ids[n] = id_of(member)
    end
    return ids
  end)
end
return {head, product, found}
