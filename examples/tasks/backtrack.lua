-- SPDX-License-Identifier: MIT
--
-- One single call of string.find that takes minutes.
-- The pattern is harmless to look at, but every `a*` can end anywhere: the matcher tries all the ways to
-- divide the run of letters, about LENGTH^5 / 120 of them.  The interpreter is inside one C function the
-- whole time and executes no bytecode: a count hook, or a yield between instructions, never gets its turn.
--
-- usage: backtrack.lua [LENGTH]     length of the run of letters; 60 takes a moment, the default minutes

local length = 400
if arg[1] then
  length = math.tointeger(tonumber(arg[1]))
  if not length or length < 1 then error("usage: backtrack.lua [LENGTH], LENGTH a positive integer", 0) end
end

work_done = 0

-- The space keeps the mark away from the letters, so it is found only after everything else has failed.
local subject = ("a"):rep(length) .. " !"
local first, last = string.find(subject, "a*a*a*a*!")
if first ~= length + 2 or last ~= length + 2 then
  error(("backtrack.lua: found %s to %s, not %d"):format(first, last, length + 2))
end

work_done = 1
print(("backtrack length=%d found=%d"):format(length, first))
