// SPDX-License-Identifier: MIT
// What sysmon decides about one P, case by case; no thread takes part.
#include "sysmon/retake.hpp"

#include <gtest/gtest.h>

namespace urge::sysmon {
namespace {

constexpr std::int64_t slice = 10'000'000, start = 1'000'000'000, us = 1000;

struct Retake : testing::Test {
  view v{.status = p_status::running, .schedtick = 7, .slice_start = start, .slice_length = slice, .work_waits = true};
  memory m;
  decision at(std::int64_t now) { return decide(v, m, now); }
};

TEST_F(Retake, LeavesAPAloneBeforeTheEndOfTheSliceAndLooksAgainThen) {
  for (const std::int64_t now : {start, start + 1, start + first_look - 1}) {
    const decision d = at(now);
    EXPECT_EQ(d.what, verdict::leave);
    EXPECT_EQ(d.look_again, start + first_look);
  }
  EXPECT_EQ(at(start + first_look).what, verdict::look);
  for (const std::int64_t now : {start + first_look + 1, start + slice - 1}) {
    const decision d = at(now);
    EXPECT_EQ(d.what, verdict::leave);
    EXPECT_EQ(d.look_again, start + slice);
  }
}

TEST_F(Retake, LooksOnceWhetherTheThreadSleepsIfSomebodyWaits) {
  v.work_waits = false;
  EXPECT_EQ(at(start + first_look).what, verdict::leave);
  v.work_waits = true;
  const decision d = at(start + 2 * first_look);
  EXPECT_EQ(d.what, verdict::look);
  EXPECT_EQ(d.look_again, start + slice);
  EXPECT_EQ(at(start + 3 * first_look).what, verdict::leave);
  EXPECT_EQ(at(start + slice).what, verdict::ask);
}

TEST_F(Retake, AShortSliceEndsBeforeAnybodyLooks) {
  v.slice_length = first_look;
  EXPECT_EQ(at(start).look_again, start + first_look);
  EXPECT_EQ(at(start + first_look).what, verdict::ask);
}

TEST_F(Retake, AsksAtTheEndOfTheSlice) {
  at(start);
  const decision d = at(start + slice);
  EXPECT_EQ(d.what, verdict::ask);
  EXPECT_EQ(d.slice_end, start + slice) << "the latency counts from the end of the slice, not from the look";
  EXPECT_EQ(d.look_again, start + slice + 50 * us);
}

TEST_F(Retake, AsksAtOnceWhenItComesLate) {
  const decision d = at(start + 5 * slice);
  EXPECT_EQ(d.what, verdict::ask);
  EXPECT_EQ(d.slice_end, start + slice);
}

TEST_F(Retake, LeavesAPAloneWhileNobodyWaits) {
  v.work_waits = false;
  std::int64_t now = start + slice;
  for (int i = 0; i < 10; ++i) {
    const decision d = at(now);
    EXPECT_EQ(d.what, verdict::leave);
    EXPECT_EQ(d.look_again, now + slice);
    now = d.look_again;
  }
}

TEST_F(Retake, ARenewedSliceEndsForWhoComesLater) {
  v.work_waits = false;
  at(start + slice);
  v.work_waits = true;
  EXPECT_EQ(at(start + slice + 1).what, verdict::look);
  EXPECT_EQ(at(start + slice + 2).what, verdict::leave);
  const decision d = at(start + 2 * slice);
  EXPECT_EQ(d.what, verdict::ask);
  EXPECT_EQ(d.slice_end, start + 2 * slice);
}

TEST_F(Retake, ASliceThatSomebodyWantsToEndNowDoes) {
  v.work_waits = false;
  at(start + slice);  // it was let run on
  v.ends_now = true;
  const decision d = at(start + slice + 5 * us);
  EXPECT_EQ(d.what, verdict::ask);
  EXPECT_EQ(d.slice_end, start + slice + 5 * us);
  EXPECT_EQ(at(d.look_again).what, verdict::ask_again);
}

TEST_F(Retake, RepeatsARefusedRequestAfter50UsDoublingToOneMs) {
  ASSERT_EQ(at(start + slice).what, verdict::ask);
  std::int64_t now = start + slice;
  for (const std::int64_t pause : {50, 100, 200, 400, 800, 1000, 1000, 1000}) {
    EXPECT_EQ(at(now + pause * us - 1).what, verdict::leave);
    now += pause * us;
    EXPECT_EQ(at(now).what, verdict::ask_again) << "after a pause of " << pause << " us";
  }
}

TEST_F(Retake, BeforeARepetitionItLooksAgainWhenThatIsDue) {
  at(start + slice);
  const decision d = at(start + slice + 10 * us);
  EXPECT_EQ(d.what, verdict::leave);
  EXPECT_EQ(d.look_again, start + slice + 50 * us);
}

TEST_F(Retake, RequestDiesWithItsSlice) {
  ASSERT_EQ(at(start + slice).what, verdict::ask);
  v.schedtick = 8, v.slice_start = start + slice + 60 * us;
  const decision d = at(start + slice + 70 * us);
  EXPECT_EQ(d.what, verdict::leave);
  EXPECT_EQ(d.look_again, v.slice_start + first_look);
  EXPECT_EQ(at(v.slice_start + slice).what, verdict::ask) << "and the next one has its own, with pauses from the first";
  EXPECT_EQ(at(v.slice_start + slice + 50 * us).what, verdict::ask_again);
}

TEST_F(Retake, LeavesAnIdlePAlone) {
  v.status = p_status::idle;
  const decision d = at(start + 100 * slice);
  EXPECT_EQ(d.what, verdict::leave);
  EXPECT_EQ(d.look_again, INT64_MAX);
}

TEST_F(Retake, TakesPBackFromSyscallAfter20UsWhileSomebodyWaits) {
  v.status = p_status::syscall;
  EXPECT_EQ(at(start).what, verdict::leave);
  const decision d = at(start + 19 * us);
  EXPECT_EQ(d.what, verdict::leave);
  EXPECT_EQ(d.look_again, start + 20 * us);
  EXPECT_EQ(at(start + 20 * us).what, verdict::take_back);
}

TEST_F(Retake, LeavesAPInSyscallForTenMsWhileOthersTakeCareOfWork) {
  v.status = p_status::syscall, v.work_waits = false, v.others_free = true;
  EXPECT_EQ(at(start).look_again, start + 10'000 * us);
  EXPECT_EQ(at(start + 10'000 * us - 1).what, verdict::leave);
  EXPECT_EQ(at(start + 10'000 * us).what, verdict::take_back);
}

TEST_F(Retake, TakesPBackSoonWhenNobodyElseIsFreeForWork) {
  v.status = p_status::syscall, v.work_waits = false, v.others_free = false;
  at(start);
  EXPECT_EQ(at(start + 20 * us).what, verdict::take_back);
}

TEST_F(Retake, TakesPBackSoonerWhenSomebodyBeginsToWait) {
  v.status = p_status::syscall, v.work_waits = false, v.others_free = true;
  at(start);
  EXPECT_EQ(at(start + 100 * us).what, verdict::leave);
  v.work_waits = true;
  EXPECT_EQ(at(start + 101 * us).what, verdict::take_back);
}

TEST_F(Retake, EachSystemCallIsTimedFromItsOwnBeginning) {
  v.status = p_status::syscall, v.syscalltick = 1;
  at(start);
  v.syscalltick = 2;  // out of that one, and in the next
  EXPECT_EQ(at(start + 20 * us).what, verdict::leave);
  EXPECT_EQ(at(start + 40 * us).what, verdict::take_back);
}

TEST_F(Retake, ASystemCallBetweenTwoLooksDoesNotRenewTheSlice) {
  at(start);
  v.status = p_status::syscall, v.syscalltick = 1;
  at(start + slice / 2);
  v.status = p_status::running;
  EXPECT_EQ(at(start + slice).what, verdict::ask);
}

TEST_F(Retake, TimeInSyscallDoesNotSurviveARun) {
  v.status = p_status::syscall;
  at(start);
  v.status = p_status::running;
  at(start + 10 * us);
  v.status = p_status::syscall;
  EXPECT_EQ(at(start + 30 * us).what, verdict::leave);
  EXPECT_EQ(at(start + 50 * us).what, verdict::take_back);
}

}  // namespace
}  // namespace urge::sysmon
