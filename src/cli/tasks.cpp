// SPDX-License-Identifier: MIT
// See tasks.hpp.
#include "tasks.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "settings.hpp"
#include "usage.hpp"

namespace urge::cli {

namespace {

using nlohmann::json;

constexpr std::uint64_t max_weight = 1000;
constexpr const char* task_allowed = "SCRIPT.lua or PLUGIN.so[:SYMBOL]";

// "dir/plugin.so:symbol": the symbol follows the last ".so:"; before it the path may have colons of its own.
void parse_task(const std::string& argument, const std::string& text, task_spec& t) {
  const std::string_view all = text;
  if (all.size() > 4 && all.ends_with(".lua")) {
    t.file = text;
  } else if (all.size() > 3 && all.ends_with(".so")) {
    t.file = text, t.symbol = "main";
  } else if (const auto at = all.rfind(".so:"); at != std::string_view::npos && at > 0) {
    t.file = text.substr(0, at + 3), t.symbol = text.substr(at + 4);
    if (t.symbol.empty()) refuse(argument, text, std::string(task_allowed) + ": the symbol is missing");
  } else {
    refuse(argument, text, task_allowed);
  }
  const auto slash = text.rfind('/', t.file.size() - 1);
  if (t.name.empty()) t.name = slash == std::string::npos ? text : text.substr(slash + 1);
}

class tasks_file {
 public:
  explicit tasks_file(const std::string& path) : path_(path) {}

  std::vector<task_spec> read() {
    std::ifstream file(path_);
    if (!file) throw usage_error("--tasks " + path_ + ": open: " + std::strerror(errno));
    json all;
    try {
      all = json::parse(file);
    } catch (const json::parse_error& e) {
      std::string_view what = e.what();
      what.remove_prefix(std::min(what.find("] ") + 2, what.size()));  // the library's own number of the error
      throw usage_error("--tasks " + path_ + ": " + std::string(what));
    }
    if (!all.is_array()) refuse_value("", all, "an array of tasks");
    std::vector<task_spec> tasks;
    for (std::size_t i = 0; i < all.size(); ++i) tasks.push_back(one(all[i], "[" + std::to_string(i) + "]"));
    return tasks;
  }

 private:
  [[noreturn]] void refuse_value(const std::string& where, const json& value, const std::string& allowed) const {
    refuse("--tasks " + path_ + ": " + where + (where.empty() ? "it is" : ":"),
           value.dump(-1, ' ', false, json::error_handler_t::replace), allowed);
  }
  std::string text(const json& value, const std::string& where, const std::string& allowed) const {
    if (!value.is_string() || value.get_ref<const std::string&>().empty()) refuse_value(where, value, allowed);
    // A null inside would end the text early where it is a path or an argument.
    if (value.get_ref<const std::string&>().find('\0') != std::string::npos)
      refuse_value(where, value, allowed + " without a null character");
    return value;
  }

  task_spec one(const json& object, const std::string& where) const {
    if (!object.is_object()) refuse_value(where, object, "an object with \"task\" and more");
    task_spec t;
    if (!object.contains("task")) throw usage_error("--tasks " + path_ + ": " + where + ": \"task\" is missing");
    if (object.contains("name")) t.name = text(object["name"], where + ".name", "a name");
    for (const auto& [key, value] : object.items()) {
      const std::string at = where + "." + key;
      if (key == "task")
        parse_task("--tasks " + path_ + ": " + at + ":", text(value, at, task_allowed), t);
      else if (key == "args")
        t.args = arguments(value, at);
      else if (key == "weight")
        t.weight = weight(value, at);
      else if (key == "cpu_limit")
        t.cpu_limit = parse_time("--tasks " + path_ + ": " + at + ":", text(value, at, "a time, such as \"2s\""));
      else if (key == "mem_limit")
        t.mem_limit = parse_size("--tasks " + path_ + ": " + at + ":", text(value, at, "a size, such as \"64M\""));
      else if (key == "stdout")
        t.stdout_path = text(value, at, "the path of a file");
      else if (key != "name")
        throw usage_error("--tasks " + path_ + ": " + at +
                          ": unknown key; there are name, task, args, weight, cpu_limit, mem_limit, stdout");
    }
    return t;
  }

  std::vector<std::string> arguments(const json& value, const std::string& where) const {
    if (!value.is_array()) refuse_value(where, value, "an array of strings");
    std::vector<std::string> all;
    for (std::size_t i = 0; i < value.size(); ++i) {
      const std::string at = where + "[" + std::to_string(i) + "]";
      if (!value[i].is_string()) refuse_value(at, value[i], "a string");
      all.push_back(value[i].get_ref<const std::string&>().empty() ? "" : text(value[i], at, "a string"));
    }
    return all;
  }

  unsigned weight(const json& value, const std::string& where) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 || value.get<std::uint64_t>() > max_weight)
      refuse_value(where, value, "a number from 1 to " + std::to_string(max_weight));
    return value.get<unsigned>();
  }

  const std::string path_;
};

void make_names_unique(std::vector<task_spec>& tasks) {
  std::set<std::string> taken;
  for (task_spec& t : tasks) {
    const std::string wanted = t.name;
    for (unsigned n = 2; !taken.insert(t.name).second; ++n) t.name = wanted + "#" + std::to_string(n);
  }
}

void set_weight(std::vector<task_spec>& tasks, const std::string& text) {
  const auto equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) refuse("--weight", text, "NAME=N");
  const std::string name = text.substr(0, equals);
  const auto t = std::find_if(tasks.begin(), tasks.end(), [&](const task_spec& s) { return s.name == name; });
  if (t == tasks.end()) {
    std::string names;
    for (const task_spec& s : tasks) names += (names.empty() ? "" : ", ") + s.name;
    throw usage_error("--weight " + text + ": there is no task '" + name + "'; there are " + names);
  }
  unsigned n = 0;
  const auto [end, error] = std::from_chars(text.data() + equals + 1, text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 1 || n > max_weight)
    refuse("--weight", text, "NAME=N with N from 1 to " + std::to_string(max_weight));
  t->weight = n;
}

}  // namespace

std::vector<task_spec> list_tasks(const tasks_arguments& a) {
  std::vector<task_spec> tasks;
  for (const std::string& text : a.tasks) parse_task("TASK", text, tasks.emplace_back());
  if (a.file)
    for (task_spec& t : tasks_file(*a.file).read()) tasks.push_back(std::move(t));
  if (tasks.empty()) throw usage_error(std::string("TASK: none given; name some, each ") + task_allowed);
  make_names_unique(tasks);
  for (const std::string& w : a.weights) set_weight(tasks, w);
  if (a.cpu_limit) {
    const auto limit = parse_time("--cpu-limit", *a.cpu_limit);
    for (task_spec& t : tasks)
      if (!t.cpu_limit) t.cpu_limit = limit;
  }
  if (a.mem_limit) {
    const std::uint64_t limit = parse_size("--mem-limit", *a.mem_limit);
    for (task_spec& t : tasks)
      if (!t.mem_limit) t.mem_limit = limit;
  }
  return tasks;
}

}  // namespace urge::cli
