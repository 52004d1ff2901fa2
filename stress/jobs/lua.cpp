// SPDX-License-Identifier: MIT
// Jobs of Lua: a state of its own for each, a script that sorts, formats, matches, collects garbage, runs coroutines
// and raises errors (longjmp). The order in which `pairs` visits differs from state to state: the script does not show
// it. Context: any.
#include <lua.hpp>

#include <memory>

#include "stress/jobs/jobs.hpp"

namespace urge::stress {

namespace {

struct close_state {
  void operator()(lua_State* l) const { lua_close(l); }
};

constexpr const char* script = R"lua(
local r = ...
local function rnd(n) r = (r * 1103515245 + 12345) & 0x7fffffff; return r % n end
local out = {}
local t = {}
for i = 1, 60 do t[i] = {key = rnd(1000), name = ("n%03d"):format(rnd(500))} end
table.sort(t, function(a, b) if a.key ~= b.key then return a.key < b.key end return a.name < b.name end)
for i, v in ipairs(t) do out[#out + 1] = ("%d:%d:%s"):format(i, v.key, v.name) end
local text = table.concat(out, " ")
local count = 0
text = text:gsub("(%d+):(%d+):n(%d+)",
                     function(a, b, c) count = count + 1; return c .. "-" .. b + a end)
local co = coroutine.wrap(function(a) for i = 1, 40 do a = coroutine.yield(a * i % 9973) end return a end)
local sum, a = 0, rnd(100) + 1
for i = 1, 30 do a = co(a + i); sum = sum + a end
local function deep(n) if n == 0 then error({code = rnd(99)}) end deep(n - 1) end
local ok, why = pcall(deep, 30)
local packed = string.pack("<i4dz", rnd(1 << 20), rnd(1000) / 7, text:sub(1, 20))
local i4, f, z = string.unpack("<i4dz", packed)
for i = 1, 20 do local junk = {}; for k = 1, 20 do junk[k] = {k, tostring(k)} end end
collectgarbage()
return ("%s|%d|%d|%s|%d|%d %.17g %s|%.14g"):format(text, count, sum, tostring(ok), why.code, i4, f, z, math.sin(r))
)lua";

}  // namespace

std::uint64_t lua_job(std::uint64_t seed) {
  const std::unique_ptr<lua_State, close_state> l(luaL_newstate());
  if (!l) return failed;
  luaL_openlibs(l.get());
  if (luaL_loadstring(l.get(), script) != LUA_OK) return failed;
  lua_pushinteger(l.get(), static_cast<lua_Integer>(seed & 0xffff));
  if (lua_pcall(l.get(), 1, 1, 0) != LUA_OK) return failed;
  std::size_t n = 0;
  const char* text = lua_tolstring(l.get(), -1, &n);
  digest d;
  d.add(std::string_view(text, n));
  return d.value();
}

}  // namespace urge::stress
