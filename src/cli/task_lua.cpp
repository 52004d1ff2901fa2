// SPDX-License-Identifier: MIT
// A Lua script as a task: what the standalone interpreter (lua.c) does, in a state of its own. Everything here runs on
// the task's G but the constructor, work() and peek().
//
// How far a script has got is its global `work_done`. A count hook that mirrors it would make every instruction of the
// script slower; so nothing is done while it runs. A coroutine made at the start has the table of globals and the name
// on its stack: reading through it allocates nothing and touches nothing that the script's own stack may have in flux.
// When the state was left in order, work() has the value; when the task was stopped at some instruction, peek() reads
// it all the same, which is right unless that instruction was just rehashing the table of globals: hence its context.
#include <lua.hpp>

#include <cstdlib>
#include <utility>

#include "task.hpp"

namespace urge::cli {

namespace {

class lua_program final : public program {
 public:
  explicit lua_program(const task& t) : task_(t) {}

  int main(std::string& error) override {
    L_ = luaL_newstate();
    if (!L_) {
      error = "not enough memory for a Lua state";
      return EXIT_FAILURE;
    }
    error_ = &error;
    lua_pushcfunction(L_, [](lua_State* L) { return self(L, 1)->protected_main(L); });
    lua_pushlightuserdata(L_, this);
    const int status = lua_pcall(L_, 1, 0, 0);
    if (status != LUA_OK) report(lua_tostring(L_, -1));
    close();
    return status == LUA_OK ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  // After os.exit the state stays as it is: nothing of it is collected or closed, as in a process that ends.
  void at_exit(bool) override {
    if (L_) note_work();
  }
  std::optional<std::uint64_t> work() const override {
    const std::int64_t n = work_.load(std::memory_order_relaxed);  // a number by itself
    return n < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(n));
  }
  std::optional<std::uint64_t> peek() const override {
    lua_State* probe = probe_.load(std::memory_order_acquire);  // [lua.probe] acquire: what lies on its stack
    return work() || !probe ? work() : read_work(probe);
  }

 private:
  static lua_program* self(lua_State* L, int index) { return static_cast<lua_program*>(lua_touserdata(L, index)); }

  int protected_main(lua_State* L) {
    luaL_checkversion(L);
    luaL_openlibs(L);
    make_probe(L);
    replace_functions(L);
    make_arg(L);
    lua_gc(L, LUA_GCGEN, 0, 0);
    lua_pushlightuserdata(L, this);
    lua_pushcclosure(L, message_handler, 1);
    if (luaL_loadfile(L, task_.spec.file.c_str()) != LUA_OK) {
      *error_ = lua_tostring(L, -1);
      return lua_error(L);
    }
    luaL_checkstack(L, static_cast<int>(task_.spec.args.size()) + 3, "too many arguments to script");
    for (const std::string& a : task_.spec.args) lua_pushlstring(L, a.data(), a.size());
    if (lua_pcall(L, static_cast<int>(task_.spec.args.size()), 0, 2) != LUA_OK) return lua_error(L);
    return 0;
  }

  // The error object as text, which is the task's error, and a traceback for people.
  static int message_handler(lua_State* L) {
    const char* text = lua_tostring(L, 1);
    if (!text) {
      if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
        text = lua_tostring(L, -1);
      else
        text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    *self(L, lua_upvalueindex(1))->error_ = text;
    luaL_traceback(L, L, text, 1);
    return 1;
  }

  // In one piece: other tasks write to stderr, too.
  void report(const char* text) {
    if (!text) text = "(error without a message)";
    if (error_->empty()) *error_ = text;
    const std::string line = "urge: " + std::string(text) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

  void make_arg(lua_State* L) {
    lua_createtable(L, static_cast<int>(task_.spec.args.size()), 2);
    lua_pushliteral(L, "urge");
    lua_rawseti(L, -2, -1);
    lua_pushlstring(L, task_.spec.file.data(), task_.spec.file.size());
    lua_rawseti(L, -2, 0);
    for (std::size_t i = 0; i < task_.spec.args.size(); ++i) {
      lua_pushlstring(L, task_.spec.args[i].data(), task_.spec.args[i].size());
      lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
    }
    lua_setglobal(L, "arg");
  }

  void make_probe(lua_State* L) {
    lua_State* probe = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX);  // for as long as the state lives
    lua_pushglobaltable(probe);
    lua_pushliteral(probe, "work_done");
    probe_.store(probe, std::memory_order_release);  // [lua.probe] release: the table and the name on its stack
  }
  static std::optional<std::uint64_t> read_work(lua_State* probe) {
    lua_pushvalue(probe, 2);
    std::optional<std::uint64_t> n;
    if (const int type = lua_rawget(probe, 1); type == LUA_TNUMBER) {
      if (lua_isinteger(probe, -1) && lua_tointeger(probe, -1) >= 0)
        n = static_cast<std::uint64_t>(lua_tointeger(probe, -1));
      else if (const lua_Number x = lua_tonumber(probe, -1); x >= 0 && x < 0x1p63)
        n = static_cast<std::uint64_t>(x);
    }
    lua_settop(probe, 2);
    return n;
  }
  void note_work() {
    lua_State* probe = probe_.load(std::memory_order_relaxed);  // the G's own
    if (!probe) return;
    if (const auto n = read_work(probe)) work_.store(static_cast<std::int64_t>(*n), std::memory_order_relaxed);
  }

  void close() {
    note_work();
    probe_.store(nullptr, std::memory_order_relaxed);  // from here on work() has it
    lua_close(std::exchange(L_, nullptr));
  }

  // print, because each line shall be written in one piece where tasks share an output; os.exit, because afterwards we
  // must know whether it has closed the state; io's output, if the task has one of its own.
  void replace_functions(lua_State* L) {
    lua_pushlightuserdata(L, this);
    lua_pushcclosure(L, print, 1);
    lua_setglobal(L, "print");
    lua_getglobal(L, "os");
    lua_pushlightuserdata(L, this);
    lua_pushcclosure(L, os_exit, 1);
    lua_setfield(L, -2, "exit");
    lua_pop(L, 1);
    if (!task_.out) return;
    lua_getglobal(L, "io");
    auto* stream = static_cast<luaL_Stream*>(lua_newuserdatauv(L, sizeof(luaL_Stream), 0));
    stream->f = task_.out;
    stream->closef = keep_open;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "stdout");
    lua_getfield(L, -2, "output");
    lua_insert(L, -2);
    lua_call(L, 1, 0);
    lua_pop(L, 1);
  }

  static int print(lua_State* L) {
    const lua_program* p = self(L, lua_upvalueindex(1));
    const int n = lua_gettop(L);
    luaL_Buffer line;
    luaL_buffinit(L, &line);
    for (int i = 1; i <= n; ++i) {
      if (i > 1) luaL_addchar(&line, '\t');
      luaL_tolstring(L, i, nullptr);
      luaL_addvalue(&line);
    }
    luaL_addchar(&line, '\n');
    luaL_pushresult(&line);
    std::size_t length = 0;
    const char* text = lua_tolstring(L, -1, &length);
    std::FILE* out = p->task_.out ? p->task_.out : stdout;
    std::fwrite(text, 1, length, out);
    if (p->task_.flush_stdout || p->task_.out) std::fflush(out);
    return 0;
  }

  static int os_exit(lua_State* L) {
    lua_program* p = self(L, lua_upvalueindex(1));
    const int code = lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE)
                                         : static_cast<int>(luaL_optinteger(L, 1, EXIT_SUCCESS));
    if (lua_toboolean(L, 2)) {
      p->close();
    }
    std::exit(code);
  }

  static int keep_open(lua_State* L) {
    static_cast<luaL_Stream*>(luaL_checkudata(L, 1, LUA_FILEHANDLE))->closef = keep_open;
    luaL_pushfail(L);
    lua_pushliteral(L, "cannot close standard file");
    return 2;
  }

  const task& task_;
  lua_State* L_ = nullptr;  // null: not open
  std::atomic<lua_State*> probe_{nullptr};
  std::string* error_ = nullptr;
  std::atomic<std::int64_t> work_{-1};  // none
};

}  // namespace

std::unique_ptr<program> make_lua(const task& t) { return std::make_unique<lua_program>(t); }

}  // namespace urge::cli
