// SPDX-License-Identifier: MIT
// What does a message between two Gs cost: handed over, through a buffer, and chosen by `select`? With one P the two
// sides take turns; with two they may run side by side.
#include "bench.hpp"

namespace {

// There and back between two Gs: an iteration is one message, and one switch.
void BM_MessageHandedOver(benchmark::State& state) {
  bench::run(static_cast<unsigned>(state.range(0)), [&] {
    urge::chan<int> there, back;
    urge::go([there, back]() mutable {
      for (const int v : there) back.send(v);
      back.close();
    });
    while (state.KeepRunningBatch(2)) {
      there.send(1);
      back.recv();
    }
    there.close();
    back.recv();
  });
}
BENCHMARK(BM_MessageHandedOver)->Arg(1)->Arg(2)->ArgName("procs")->Apply(bench::on_gs);

// Through 128 places, one sender, one receiver.
void BM_MessageThroughBuffer(benchmark::State& state) {
  bench::run(static_cast<unsigned>(state.range(0)), [&] {
    urge::chan<int> c(128);
    auto receiver = urge::spawn([c]() mutable {
      for (const int v : c) benchmark::DoNotOptimize(v);
    });
    for (auto _ : state) c.send(1);
    c.close();
    receiver.join();
  });
}
BENCHMARK(BM_MessageThroughBuffer)->Arg(1)->Arg(2)->ArgName("procs")->Apply(bench::on_gs);

// What a value costs that cannot travel as bytes: it goes in a box of its own.
void BM_BoxedMessageThroughBuffer(benchmark::State& state) {
  bench::run(1, [&] {
    urge::chan<std::unique_ptr<int>> c(1);
    for (auto _ : state) {
      c.send(nullptr);
      benchmark::DoNotOptimize(c.recv());
    }
  });
}
BENCHMARK(BM_BoxedMessageThroughBuffer)->Apply(bench::on_gs);

// Four channels, each with a value; the one that was chosen gets it back. No waiting.
void BM_SelectOfFourReady(benchmark::State& state) {
  bench::run(1, [&] {
    urge::chan<int> a(1), b(1), c(1), d(1);
    for (auto* each : {&a, &b, &c, &d}) each->send(1);
    for (auto _ : state) {
      urge::select(urge::on_recv(a, [&](auto) { a.send(1); }), urge::on_recv(b, [&](auto) { b.send(1); }),
                   urge::on_recv(c, [&](auto) { c.send(1); }), urge::on_recv(d, [&](auto) { d.send(1); }));
    }
  });
}
BENCHMARK(BM_SelectOfFourReady)->Apply(bench::on_gs);

}  // namespace
