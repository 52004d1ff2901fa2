-- SPDX-License-Identifier: MIT
--
-- Computes CRC-32 and Adler-32 of a stream of made-up bytes, prints one line and ends.
-- A short task among endless ones: under a fair scheduler it ends after its own time multiplied by the
-- number of its competitors, and prints what it prints alone.
--
-- usage: checksum.lua [SIZE]     number of bytes

local chunk_size = 512

local default_size = 8000000
local default_crc, default_adler = 0x0e000e0a, 0x23601788

local size = default_size
if arg[1] then
  size = math.tointeger(tonumber(arg[1]))
  if not size or size < 0 then error("usage: checksum.lua [SIZE], SIZE a number of bytes", 0) end
end

work_done = 0 -- a global on purpose: whoever runs this script can see how far it got

local crc_table = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = (c & 1 == 1) and (0xedb88320 ~ (c >> 1)) or (c >> 1) end
  crc_table[i] = c
end

local function crc32(crc, text)
  crc = crc ~ 0xffffffff
  for i = 1, #text do crc = crc_table[(crc ~ text:byte(i)) & 0xff] ~ (crc >> 8) end
  return crc ~ 0xffffffff
end

local function adler32(adler, text)
  local low, high = adler & 0xffff, adler >> 16
  for i = 1, #text do
    low = (low + text:byte(i)) % 65521
    high = (high + low) % 65521
  end
  return high << 16 | low
end

local function check_known_values()
  if crc32(0, "123456789") ~= 0xcbf43926 then error("checksum.lua: CRC-32 is wrong") end
  if adler32(1, "Wikipedia") ~= 0x11e60398 then error("checksum.lua: Adler-32 is wrong") end
end

-- 512 bytes that differ from chunk to chunk, made in strings of eight.
local state = 1
local function make_chunk(length)
  local parts = {}
  for i = 1, (length + 7) // 8 do
    state = state * 6364136223846793005 + 1442695040888963407
    parts[i] = string.pack("<i8", state)
  end
  return table.concat(parts):sub(1, length)
end

check_known_values()
local crc, adler, left = 0, 1, size
while left > 0 do
  local chunk = make_chunk(math.min(left, chunk_size))
  crc, adler = crc32(crc, chunk), adler32(adler, chunk)
  left = left - #chunk
  work_done = work_done + 1
end
check_known_values()
if size == default_size and (crc ~= default_crc or adler ~= default_adler) then
  error(("checksum.lua: result is %08x %08x, not %08x %08x"):format(crc, adler, default_crc, default_adler))
end

print(("checksum size=%d crc32=%08x adler32=%08x"):format(size, crc, adler))
