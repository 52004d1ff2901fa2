-- SPDX-License-Identifier: MIT
--
-- Draws the Mandelbrot set again and again without showing it.
-- Floating point only, all of it in registers and the interpreter's stack: a scheduler that loses or mixes up
-- floating-point state breaks the symmetry of the picture, which is checked at every pixel.
--
-- usage: mandel.lua [ROUNDS]     one round is 1150 steps of z = z^2 + c

local steps_per_round = 1150
local width, height = 64, 48
local max_steps = 250

local rounds = nil
if arg[1] then
  rounds = math.tointeger(tonumber(arg[1]))
  if not rounds or rounds < 1 then error("usage: mandel.lua [ROUNDS], ROUNDS a positive integer", 0) end
end

work_done = 0 -- a global on purpose: whoever runs this script can see how far it got

local checksum = 0
local last_x, last_y, last_trace = {}, {}, {} -- where each pixel of the upper half ended
local column, row = 0, 0
local cx, cy
local zx, zy, steps
local trace -- of the whole path: most paths end in the same place even after a push, this one does not

local function start_pixel()
  cx = -2.0 + column * (2.75 / (width - 1))
  cy = (row - (height - 1) / 2) * (2.5 / (height - 1))
  zx, zy, steps, trace = 0.0, 0.0, 0, 0.0
end

local function finish_pixel()
  if row < height // 2 then
    local index = row * width + column
    last_x[index], last_y[index], last_trace[index] = zx, zy, trace
  else
    -- The mirror image takes the conjugate path, and rounding is symmetric: equal to the last bit.
    local index = (height - 1 - row) * width + column
    if last_x[index] ~= zx or last_y[index] ~= -zy or last_trace[index] ~= trace then
      error(("mandel.lua: pixel %d,%d differs from its mirror image"):format(column, row))
    end
  end
  checksum = (checksum * 31 + steps) & 0xffffffff
  column = column + 1
  if column == width then
    column = 0
    row = (row + 1) % height
  end
end

-- Counts steps, not pixels: pixels differ a hundredfold in work, rounds must not.
local function one_round()
  local x, y, a, b, n, t = zx, zy, cx, cy, steps, trace
  for _ = 1, steps_per_round do
    local xx, yy = x * x, y * y
    if xx + yy > 4.0 or n == max_steps then
      zx, zy, steps, trace = x, y, n, t
      finish_pixel()
      start_pixel()
      x, y, a, b, n, t = zx, zy, cx, cy, steps, trace
    else
      x, y = xx - yy + a, 2.0 * x * y + b
      n = n + 1
      t = (3.0 * t + xx + yy) % 1.0
    end
  end
  zx, zy, steps, trace = x, y, n, t
end

start_pixel()
while work_done ~= rounds do
  one_round()
  work_done = work_done + 1
end

print(("mandel rounds=%d checksum=%08x"):format(work_done, checksum))
