// SPDX-License-Identifier: MIT
// Each reason for which a preemption is refused where it stands: the state is brought about, a preemption is asked for
// exactly there, and only the counter of that reason rises; where the reason is over, the next request stops the G.
#include "preempt/refusals.hpp"

#include <urge/preempt.hpp>

#include <csignal>
#include <vector>

#include "arch/arch.hpp"

namespace urge::test {
namespace {

TEST_F(Refusals, NoneWhereNothingIsInTheWayAndNobodyStopsForAnotherSlice) {
  run(
      [] {
        EXPECT_EQ(ask(), a_stop);
        const auto slice = [] { return current_g()->m->p->schedtick.load(relaxed); };
        const auto before = slice();
        EXPECT_EQ(ask([] { send_here(); }, false), nothing);
        EXPECT_EQ(slice(), before) << "it has been stopped, uncounted";
        EXPECT_EQ(ask_until_stopped(), a_stop);
      },
      quiet());
}

TEST_F(Refusals, InRuntime) {
  run(
      [] {
        G* const g = preempt::hold_here();
        const answer inside = ask();
        preempt::let_go(g);
        EXPECT_EQ(inside, refusal(defer_reason::in_runtime));
        EXPECT_EQ(ask_until_stopped(), a_stop);
        // Under a guard as well.
        {
          const preempt_guard guard;
          preempt::hold_here();
          const answer both = ask();
          preempt::let_go(g);
          EXPECT_EQ(both, refusal(defer_reason::in_runtime));
        }
        EXPECT_EQ(ask_until_stopped(), a_stop);
        expect_in_stats(defer_reason::in_runtime, 2);
      },
      quiet());
}

TEST_F(Refusals, Guarded) {
  run(
      [] {
        {
          const preempt_guard outer;
          {
            const preempt_guard inner;
            EXPECT_EQ(ask(), refusal(defer_reason::guarded));
          }
          EXPECT_EQ(ask(), refusal(defer_reason::guarded));
          EXPECT_EQ(ask([] { send_here(); }, false), nothing) << "a signal for another slice puts off nothing";
        }
        EXPECT_EQ(ask_until_stopped(), a_stop);
        expect_in_stats(defer_reason::guarded, 2);
      },
      quiet());
}

answer in_handler_answer;
void asks_in_handler(int) { in_handler_answer = ask(); }

// Handlers that the library knows of hold the signal off by their masks. One that was set past it does not: on an
// alternate stack that is seen.
TEST_F(Refusals, InHandler) {
  struct sigaction bare {
  }, before{};
  bare.sa_handler = asks_in_handler;
  bare.sa_flags = SA_ONSTACK;
  ASSERT_EQ(preempt::kernel_action(SIGUSR1, &bare, &before), 0);
  run(
      [&] {
        // `run` adds the signal to the masks of the handlers that it finds.
        ASSERT_EQ(preempt::kernel_action(SIGUSR1, &bare, nullptr), 0);
        std::vector<char> own(64 * 1024);
        for (const bool on_own : {false, true}) {
          if (on_own) {
            stack_t alt{};
            alt.ss_sp = own.data(), alt.ss_size = own.size();
            ASSERT_EQ(::sigaltstack(&alt, nullptr), 0);
          }
          in_handler_answer = {};
          send_here(SIGUSR1);
          EXPECT_EQ(in_handler_answer, refusal(defer_reason::in_handler)) << "its own stack: " << on_own;
          EXPECT_EQ(ask_until_stopped(), a_stop);
        }
        stack_t none{};
        none.ss_flags = SS_DISABLE;
        ASSERT_EQ(::sigaltstack(&none, nullptr), 0);
        // With the mask it comes behind the handler, and is not refused.
        ASSERT_EQ(::sigaction(SIGUSR1, &bare, nullptr), 0);
        const std::uint64_t stops = stops_of(*current_g());
        send_here(SIGUSR1);
        EXPECT_EQ(in_handler_answer, nothing);
        EXPECT_EQ(stops_of(*current_g()), stops + 1);
        expect_in_stats(defer_reason::in_handler, 2);
      },
      quiet());
  ASSERT_EQ(preempt::kernel_action(SIGUSR1, &before, nullptr), 0);
}

TEST_F(Refusals, NoRoom) {
  run(
      [] {
        spawn({.stack_size = 64 * 1024}, [] {
          char* const low = current_g()->stk.low;
          constexpr std::size_t room = arch::redirect_room;
          for (const std::size_t left : {std::size_t{0}, std::size_t{1}, room / 2, room - 8, room - 1})
            EXPECT_EQ(ask([=] { send_at(low + left); }), refusal(defer_reason::no_room)) << left;
          for (const std::size_t left : {room, room + 1, room + 4096})
            EXPECT_EQ(ask([=] { send_at(low + left); }), a_stop) << left;
          EXPECT_EQ(ask(), a_stop);
        }).join();
        expect_in_stats(defer_reason::no_room, 5);
      },
      quiet());
}

TEST_F(Refusals, GraceTwicePerSlice) {
  run(
      [] {
        for (int slice = 0; slice < 3; ++slice) {
          EXPECT_EQ(ask(send_in_libc), refusal(defer_reason::grace)) << slice;
          EXPECT_EQ(ask(send_in_libc), refusal(defer_reason::grace)) << slice;
          EXPECT_EQ(ask(send_in_libc), a_stop) << slice;
          // Outside libc none is given.
          EXPECT_EQ(ask(send_in_libc), refusal(defer_reason::grace)) << slice;
          EXPECT_EQ(ask(), a_stop) << slice;
        }
        expect_in_stats(defer_reason::grace, 9);
      },
      quiet());
}

// On the stack where the trampoline saves: so are the landing's last instructions, which hold no lock.
TEST_F(Refusals, TrampolineByItsStack) {
  run(
      [] {
        for (int i = 0; i < 3; ++i) {
          char* const top = urge_async_sp;
          const bool own = current_g()->own != nullptr;
          EXPECT_EQ(ask([=] { send_at(top - 8 * 1024); }), refusal(defer_reason::trampoline)) << own;
          EXPECT_EQ(ask_until_stopped(), a_stop);
        }
        expect_in_stats(defer_reason::trampoline, 3);
      },
      quiet());
}

// Each instruction of the trampoline, the landing and the scheduler under one stop, by the trap flag. As long as the
// G's locks are held it is inside the runtime; behind that the place itself refuses.
struct {
  bool on = false;
  std::uint64_t held = 0, behind = 0, other = 0, stopped = 0;
} passed;

void on_trap(int, siginfo_t* info, void* context) {
  auto* uc = static_cast<ucontext_t*>(context);
  const std::uintptr_t pc = arch::interrupted_pc(uc);
  const G* const g = current_g();
  if (!passed.on) return void(uc->uc_mcontext.gregs[REG_EFL] &= ~greg_t{0x100});
  if (!g || !g->m->p || !(arch::in_trampoline(pc) || preempt::on_save_stack(arch::interrupted_sp(uc)))) return;
  const bool held = g->locks.load(relaxed) != 0;
  const reason_counts before = refused_so_far();
  write_request();
  preempt::urge_on_preempt_signal(SIGURG, info, uc);
  passed.stopped += arch::interrupted_pc(uc) != pc;
  const reason_counts after = refused_so_far();
  for (std::size_t r = 0; r < reasons; ++r) {
    const bool right = static_cast<defer_reason>(r) == (held ? defer_reason::in_runtime : defer_reason::trampoline);
    (!right ? passed.other : held ? passed.held : passed.behind) += after[r] - before[r];
  }
}

[[gnu::naked, gnu::noinline]] void set_trap_flag() { asm("pushfq\n\torq $0x100, (%rsp)\n\tpopfq\n\tret"); }
[[gnu::naked, gnu::noinline]] void clear_trap_flag() { asm("pushfq\n\tandq $-257, (%rsp)\n\tpopfq\n\tret"); }

TEST_F(Refusals, TrampolineByItsInstructions) {
  struct sigaction trap {
  }, before{};
  trap.sa_sigaction = on_trap;
  trap.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ASSERT_EQ(::sigaction(SIGTRAP, &trap, &before), 0);
  run(
      [] {
        passed = {};
        const std::uint64_t stops = stops_of(*current_g());
        write_request();
        passed.on = true;
        set_trap_flag();
        send_here();
        clear_trap_flag();
        passed.on = false;
        EXPECT_EQ(stops_of(*current_g()), stops + 1);
        EXPECT_EQ(passed.stopped, 0u);
        EXPECT_EQ(passed.other, 0u);
        EXPECT_GT(passed.held, 50u) << "the trampoline's way in, and all that it calls";
        EXPECT_GE(passed.behind, 20u) << "its way back";
        expect_in_stats(defer_reason::in_runtime, passed.held);
        expect_in_stats(defer_reason::trampoline, passed.behind);
        EXPECT_EQ(ask_until_stopped(), a_stop);
      },
      quiet());
  ::sigaction(SIGTRAP, &before, nullptr);
}

}  // namespace
}  // namespace urge::test
