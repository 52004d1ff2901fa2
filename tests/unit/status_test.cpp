// SPDX-License-Identifier: MIT
// The edges between the states of a G: each legal one is accepted, each other refused.
#include "sched/status.hpp"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace urge {
namespace {

constexpr g_status all[] = {g_status::idle,    g_status::runnable,  g_status::running, g_status::syscall,
                            g_status::waiting, g_status::preempted, g_status::dead};

TEST(Status, TheTableHoldsExactlyTheEdgesOfTheProtocol) {
  using enum g_status;
  const std::set<std::pair<g_status, g_status>> edges = {
      {idle, runnable},     {idle, dead},         {runnable, running}, {runnable, dead}, {running, syscall},
      {running, waiting},   {running, preempted}, {running, runnable}, {running, dead},  {syscall, running},
      {syscall, runnable},  {syscall, dead},      {waiting, runnable}, {waiting, dead},  {preempted, runnable},
      {preempted, waiting}, {preempted, dead},    {dead, idle}};
  for (const g_status from : all)
    for (const g_status to : all)
      EXPECT_EQ(legal(from, to), edges.contains({from, to})) << name_of(from) << " to " << name_of(to);
}

TEST(Status, SetStatusMovesAlongAnEdge) {
  atomic<g_status> word{g_status::idle};
  set_status(word, g_status::idle, g_status::runnable);
  EXPECT_EQ(word.load(), g_status::runnable);
}

#ifndef NDEBUG
TEST(StatusDeathTest, AnIllegalEdgeIsFatal) {
  atomic<g_status> word{g_status::idle};
  EXPECT_DEATH(set_status(word, g_status::idle, g_status::running), "illegal change of a G's status");
  EXPECT_DEATH(set_status(word, g_status::runnable, g_status::running), "illegal change of a G's status");
}
#endif

TEST(Status, EveryStateHasAName) {
  std::set<std::string_view> names;
  for (const g_status s : all) names.insert(name_of(s));
  EXPECT_EQ(names.size(), std::size(all));
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace urge
