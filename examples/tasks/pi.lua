-- SPDX-License-Identifier: MIT
--
-- Computes the first 200 digits of pi again and again with the spigot of Rabinowitz and Wagon.
-- Pure integer arithmetic on a table: the interpreter runs bytecode for ever and calls no function of the
-- C library, so there is no place where it would give the processor away.
--
-- usage: pi.lua [ROUNDS]     one round is three passes over the cells (three digits)

local expected = "31415926535897932384626433832795028841971693993751058209749445923078164062862089"
  .. "98628034825342117067982148086513282306647093844609550582231725359408128481117450"
  .. "2841027019385211055596446229489549303819"

local digits_per_batch = 200
local passes_per_round = 3
local cell_count = digits_per_batch * 10 // 3 + 4 -- a few more than the theorem asks: all digits exact

local rounds = nil
if arg[1] then
  rounds = math.tointeger(tonumber(arg[1]))
  if not rounds or rounds < 1 then error("usage: pi.lua [ROUNDS], ROUNDS a positive integer", 0) end
end

work_done = 0 -- a global on purpose: whoever runs this script can see how far it got

local checksum = 0
local cells = {}
local position  -- of the next digit to be known for certain
local held      -- last digit, still open to a carry
local nines     -- how many nines follow the held digit: a carry would turn them all to zeros

-- Cells far from the front never reach a digit before the batch ends: compare them with the first batch's.
local first_hash
local function check_cells()
  local hash = 0
  for i = 1, cell_count do hash = hash * 6364136223846793005 + cells[i] end
  first_hash = first_hash or hash
  if hash ~= first_hash then error("pi.lua: the cells differ from those of the first batch") end
end

local function start_batch()
  for i = 1, cell_count do cells[i] = 2 end
  position, held, nines = 0, 0, 0
end

local function emit(digit)
  -- The very first digit held is the zero in front of the three.
  if position > 0 and digit ~= expected:byte(position) - 48 then
    error(("pi.lua: digit %d is %d, not %s"):format(position, digit, expected:sub(position, position)))
  end
  position = position + 1
  checksum = (checksum * 31 + digit) & 0xffffffff
end

local function one_pass()
  local carry = 0
  for i = cell_count, 2, -1 do
    local x = 10 * cells[i] + carry * i
    local divisor = 2 * i - 1
    cells[i] = x % divisor
    carry = x // divisor
  end
  local x = 10 * cells[1] + carry
  cells[1] = x % 10
  return x // 10
end

start_batch()
local passes = 0
local function next_digit()
  local digit = one_pass()
  if digit == 9 then
    nines = nines + 1
  else
    local overflow = digit == 10
    emit(overflow and held + 1 or held)
    for _ = 1, nines do emit(overflow and 0 or 9) end
    held, nines = overflow and 0 or digit, 0
  end
  passes = passes + 1
  if passes == digits_per_batch then
    check_cells()
    start_batch()
    passes = 0
  end
end

while work_done ~= rounds do
  for _ = 1, passes_per_round do next_digit() end
  work_done = work_done + 1
end

print(("pi rounds=%d checksum=%08x"):format(work_done, checksum))
