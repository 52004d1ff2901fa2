-- SPDX-License-Identifier: MIT
--
-- Writes small records to text, reads them back and compares, and so makes garbage all the time.
-- Nearly all of it happens inside the C library of the interpreter: malloc, realloc, free, the garbage
-- collector, string formatting and pattern matching are all cut in the middle, and any damage done to the
-- heap is found here, at once or when an old record is looked at again some rounds later.
--
-- usage: strings.lua [ROUNDS]     one round is one table of records, written, read and compared

local records_per_round = 6
local history_size = 64

local rounds = nil
if arg[1] then
  rounds = math.tointeger(tonumber(arg[1]))
  if not rounds or rounds < 1 then error("usage: strings.lua [ROUNDS], ROUNDS a positive integer", 0) end
end

work_done = 0 -- a global on purpose: whoever runs this script can see how far it got

local function check(condition, what)
  if not condition then error(("strings.lua: round %d: %s"):format(work_done, what)) end
end

-- A generator of its own: math.random starts from a different seed in every process.
local state = 12345
local function random(n)
  state = (state * 6364136223846793005 + 1442695040888963407)
  return (state >> 33) % n
end

local function random_word(length)
  local letters = {}
  for i = 1, length do letters[i] = string.char(97 + random(26)) end
  return table.concat(letters)
end

-- The factor is odd, so every single byte changes the result.
local function hash(text)
  local h = 5381
  for i = 1, #text do h = (h * 33 + text:byte(i)) & 0xffffffff end
  return h
end

local function make_records()
  local records, count = {}, 0
  while count < records_per_round do
    local key = random_word(3 + random(6))
    if not records[key] then -- words are random: the same one may come twice
      records[key] = { number = random(1000000) - 500000, text = key:rep(1 + random(5), "-") }
      count = count + 1
    end
  end
  return records
end

local function sorted_keys(records)
  local keys = {}
  for key in pairs(records) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function write(records)
  local lines = {}
  for i, key in ipairs(sorted_keys(records)) do
    lines[i] = ("%s=%d,%s;"):format(key, records[key].number, records[key].text)
  end
  return table.concat(lines, "\n")
end

local function read(text)
  local records = {}
  for key, number, value in text:gmatch("(%l+)=(-?%d+),([%l-]+);") do
    records[key] = { number = math.tointeger(tonumber(number)), text = value }
  end
  return records
end

local function compare(left, right)
  local count = 0
  for key, record in pairs(left) do
    local other = right[key]
    check(other, "record " .. key .. " is missing")
    check(other.number == record.number, "record " .. key .. " has another number")
    check(other.text == record.text, "record " .. key .. " has another text")
    count = count + 1
  end
  check(count == records_per_round, "a record too few or too many")
end

local checksum = 0
local history = {} -- records kept for a while, so that the collector has live data to get wrong

while work_done ~= rounds do
  local records = make_records()
  local text = write(records)
  local copy = read(text)
  compare(records, copy)
  compare(copy, records)
  check(text:upper():lower() == text, "upper and lower case do not agree")
  check(text:reverse():reverse() == text, "a text reversed twice is another one")
  check(#text:gsub("[^\n]", "") == records_per_round - 1, "a line too few or too many")

  local slot = work_done % history_size
  local old = history[slot]
  if old then
    check(hash(old.text) == old.hash, "an old text has changed")
    compare(old.records, read(old.text))
  end
  history[slot] = { text = text, hash = hash(text), records = records }
  checksum = (checksum * 31 + history[slot].hash) & 0xffffffff
  work_done = work_done + 1
end

print(("strings rounds=%d checksum=%08x"):format(work_done, checksum))
