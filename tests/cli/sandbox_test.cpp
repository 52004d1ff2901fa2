// SPDX-License-Identifier: MIT
// What a task in a sandbox cannot do, and what it can. The same tries are made without one, where all must succeed: so
// none of them fails for a reason of its own.
#include <algorithm>

#include "sandbox_fixture.hpp"

namespace urge::test {

class Forbidden : public Sandbox, public ::testing::WithParamInterface<const char*> {};

TEST_P(Forbidden, CannotBeDoneInASandboxAndCanWithoutOne) {
  const auto before = state_outside();
  const auto confined = try_all("forbidden.so", {"--sandbox", "inside"}, GetParam());
  EXPECT_EQ(confined.status, 0) << confined.err;
  EXPECT_EQ(state_outside(), before);
  EXPECT_FALSE(a_message_came());
  EXPECT_EQ(read("inside/mine") + read("inside/mine2"), "minemine");
  const auto refused = answers(confined.out);

  const auto free = try_all("forbidden.so", {}, GetParam());
  EXPECT_EQ(free.status, 0) << free.err;
  EXPECT_TRUE(a_message_came());
  const auto done = answers(free.out);

  EXPECT_GE(done.size(), 50u) << free.out;
  EXPECT_EQ(refused.size(), done.size()) << confined.out;
  for (const auto& [name, answer] : done) EXPECT_EQ(answer, "ok") << name << " without a sandbox";
  for (const auto& [name, answer] : refused) {
    if (name == "write_to_inherited_descriptor")
      EXPECT_EQ(answer, "EBADF") << name;
    else
      EXPECT_TRUE(answer == "EPERM" || answer == "EACCES" || answer == "EXDEV") << name << ": " << answer;
  }
}

INSTANTIATE_TEST_SUITE_P(To, Forbidden, ::testing::Values("main", "thread", "child"),
                         [](const auto& info) { return std::string(info.param); });

class Permitted : public Sandbox, public ::testing::WithParamInterface<const char*> {};

TEST_P(Permitted, CanBeDoneInASandbox) {
  const auto r = try_all("permitted.so", {"--sandbox", "inside"}, GetParam());
  EXPECT_EQ(r.status, 0) << r.err;
  const auto done = answers(r.out);
  EXPECT_GE(done.size(), 16u) << r.out;
  for (const auto& [name, answer] : done) EXPECT_EQ(answer, "ok") << name;
  EXPECT_EQ(read("inside/file"), "text");
  EXPECT_EQ(read("inside/to/y"), "text");
}

INSTANTIATE_TEST_SUITE_P(To, Permitted, ::testing::Values("main", "thread"),
                         [](const auto& info) { return std::string(info.param); });

// Calls that no program makes by chance. Their arguments are wrong, so that without a sandbox each fails otherwise; for
// a user who may not make some of them at all that cannot be seen.
TEST_F(Sandbox, RefusesSystemCallsByNumber) {
  const std::vector<long> refused{SYS_socket,
                                  SYS_connect,
                                  SYS_bind,
                                  SYS_listen,
                                  SYS_accept,
                                  SYS_accept4,
                                  SYS_sendmsg,
                                  SYS_sendmmsg,
                                  SYS_execveat,
                                  SYS_ptrace,
                                  SYS_process_vm_readv,
                                  SYS_process_vm_writev,
                                  SYS_process_madvise,
                                  SYS_process_mrelease,
                                  SYS_pidfd_getfd,
                                  SYS_pidfd_send_signal,
                                  SYS_perf_event_open,
                                  SYS_tkill,
                                  SYS_shmat,
                                  SYS_semget,
                                  SYS_msgsnd,
                                  SYS_mq_open,
                                  SYS_mq_unlink,
                                  SYS_add_key,
                                  SYS_request_key,
                                  SYS_keyctl,
                                  SYS_fchmodat,
                                  SYS_fchownat,
                                  SYS_setxattr,
                                  SYS_fsetxattr,
                                  SYS_removexattr,
                                  SYS_utimes,
                                  SYS_open_by_handle_at,
                                  SYS_fanotify_init,
                                  SYS_io_uring_setup,
                                  SYS_io_uring_enter,
                                  SYS_io_uring_register,
                                  SYS_bpf,
                                  SYS_userfaultfd,
                                  SYS_init_module,
                                  SYS_finit_module,
                                  SYS_delete_module,
                                  SYS_kexec_load,
                                  SYS_kexec_file_load,
                                  SYS_mount,
                                  SYS_umount2,
                                  SYS_pivot_root,
                                  SYS_chroot,
                                  SYS_fsopen,
                                  SYS_fsmount,
                                  SYS_move_mount,
                                  SYS_open_tree,
                                  SYS_mount_setattr,
                                  SYS_setns,
                                  SYS_unshare,
                                  SYS_reboot,
                                  SYS_swapon,
                                  SYS_swapoff,
                                  SYS_acct,
                                  SYS_quotactl,
                                  SYS_syslog,
                                  SYS_sethostname,
                                  SYS_setdomainname,
                                  SYS_settimeofday,
                                  SYS_clock_settime,
                                  SYS_adjtimex,
                                  SYS_iopl,
                                  SYS_ioperm,
                                  SYS_kill,
                                  SYS_rt_sigqueueinfo,
                                  SYS_ioctl,
                                  SYS_fcntl,
                                  SYS_setpriority,
                                  SYS_ioprio_set,
                                  SYS_sched_setattr,
                                  SYS_clone};
  constexpr long x32 = 0x40000000;
  // fchmodat2, setxattrat, file_setattr, and one that there is not
  const std::vector<long> missing{SYS_clone3, 452, 463, 469, 500};
  std::vector<std::string> arguments;
  for (const long n : refused) arguments.push_back(std::to_string(n));
  for (const long n : missing) arguments.push_back(std::to_string(n));
  arguments.push_back(std::to_string(x32 | SYS_getpid));
  const nlohmann::json task = nlohmann::json::array({{{"task", test_tasks_dir + "/numbers.so"}, {"args", arguments}}});
  const auto confined = answers(run_tasks(task, {"--sandbox", "inside"}).out);
  const auto free = answers(run_tasks(task).out);
  ASSERT_EQ(confined.size(), arguments.size());
  ASSERT_EQ(free.size(), arguments.size());
  for (const std::string& n : arguments) {
    const bool is_missing = std::any_of(missing.begin(), missing.end(), [&](long m) { return std::to_string(m) == n; });
    EXPECT_EQ(confined.at(n), is_missing ? "ENOSYS" : "EPERM") << n;
    if (::geteuid() == 0 && !is_missing) {
      EXPECT_NE(free.at(n), "EPERM") << n;
    }
  }
}

TEST_F(Sandbox, RefusesTheSameToLua) {
  const std::string script = write("a.lua", R"(
    local outside = arg[1]
    local function tell(name, done, why) print(name .. ': ' .. (done and 'ok' or tostring(why))) end
    tell('read', io.open(outside .. '/write'))
    tell('write inside', io.open(arg[2] .. '/new', 'w'))
    tell('write', io.open(outside .. '/write', 'w'))
    tell('append', io.open(outside .. '/write', 'a'))
    tell('remove', os.remove(outside .. '/unlink'))
    tell('rename', os.rename(outside .. '/rename', outside .. '/renamed'))
    tell('execute', os.execute('exit 0'))
    tell('popen', pcall(function() io.popen('exit 0'):close() end)))");
  const nlohmann::json task = nlohmann::json::array({{{"task", script}, {"args", {path("outside"), path("inside")}}}});
  const auto before = state_outside();
  auto confined = answers(run_tasks(task, {"--sandbox", "inside"}).out);
  EXPECT_EQ(state_outside(), before);
  const auto free = answers(run_tasks(task).out);
  EXPECT_EQ(free.size(), 8u);
  for (const auto& [name, answer] : free) EXPECT_EQ(answer, "ok") << name << " without a sandbox";
  EXPECT_EQ(confined["read"], "ok");
  EXPECT_EQ(confined["write inside"], "ok");
  for (const char* name : {"write", "append", "remove", "rename"})
    EXPECT_NE(confined[name].find("Permission denied"), std::string::npos) << name << ": " << confined[name];
  EXPECT_EQ(confined["execute"], "Operation not permitted");
  EXPECT_NE(confined["popen"], "ok");
}

// The code of a plugin itself runs on its G; that of a library that it needs runs while it is loaded.
TEST_F(Sandbox, HoldsForConstructorsOfLibrariesThatAPluginNeeds) {
  auto how = options();
  how.environment = {{"URGE_TEST_EARLY", path("outside/early")}};
  const std::string plugin = test_tasks_dir + "/needs_early.so";
  const auto confined = run_child(URGE_COMMAND, {"run", "--sandbox", "inside", plugin}, how);
  EXPECT_EQ(confined.out, "early: EACCES\n") << confined.err;
  EXPECT_EQ(run_child(URGE_COMMAND, {"run", plugin}, how).out, "early: ok\n");
}

}  // namespace urge::test
