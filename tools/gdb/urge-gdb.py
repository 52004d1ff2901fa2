# SPDX-License-Identifier: MIT
"""gdb commands for programs that use urge, alive or as a core file: info urge-gs, info urge-ps, urge-g (docs/gdb.md).

All is read from the library's own variables by its debug information; nothing in the program is called or written.
Of a G that is on no thread urge_jump has left the registers on its stack (src/arch/x86_64/switch.S). A debugger cannot
set a thread's registers to these in a core file, and should not in a process: so an unwinder is put in for the time of
a command, which claims that the innermost frame of the selected thread was called from there.
"""
import contextlib
import ctypes
import itertools
import mmap
import os
import re
import struct

import gdb
import gdb.unwinder

GS_HELP = """List the Gs that are alive: info urge-gs [-v]
A star stands before the G that the selected thread runs. AT is the innermost function that is not urge's own.
In a process on this machine times are up to now; else up to the latest switch, the last moment that urge has noted.
With -v a second line for each: its weight, how often it was preempted, how long it has waited for a P, its stack."""
PS_HELP = "List the Ps, each with what it runs and what waits there: info urge-ps"
G_HELP = """Run a gdb command where a G stands: urge-g N bt, urge-g all bt, urge-g N info locals
The command may only look: bt, frame, info, list, print and their like. All but bt begin in the innermost function that
is not urge's own. Of a G that is on no thread the frames count from 1. thread_local variables are those of the selected
thread, whatever the G."""

PER_SLAB = 1024  # urge::slabs::per_slab in src/sched/g.hpp: compilers leave it out of the debug information
READERS = "bt backtrace where info i inf frame f print p inspect output printf x list l ptype whatis".split()
# Functions of the library; its tests are in namespaces inside its own.
OWN_NAME = re.compile(r"urge::(?!stress::|test::|cli::)|urge_(?!test_)|make_fcontext|jump_fcontext")


def plain(value):
    """What a std::atomic holds: the first member of its first member, and so on."""
    while value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value[next(f for f in value.type.strip_typedefs().fields() if hasattr(f, "bitpos"))]
    return value


def word(value):
    return int(plain(value))


def enumerator(value):
    """The name of an enumerator as the source has it, with blanks: chan receive."""
    return str(plain(value)).rpartition("::")[2].replace("_", " ")


def variable(name):
    try:
        return gdb.parse_and_eval(f"'urge::{name}'")
    except gdb.error as error:
        if "unknown type" in str(error):
            raise gdb.GdbError("urge: the library has no debug information (it must be compiled with -g)") from None
        raise gdb.GdbError("urge: the program does not use urge, or its symbols are not loaded") from None


def ticks_here():
    """The time-stamp counter, which urge reckons in, if the process runs on this machine; else 0. Python has no name
    for it: rdtsc; shl $32,%rdx; or %rdx,%rax; ret."""
    connection = gdb.selected_inferior().connection
    if connection is None or connection.type != "native":
        return 0
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return 0
    code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))
    return ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


class Program:
    """All that a command needs, read once: the program stands meanwhile."""

    def __init__(self):
        if gdb.selected_thread() is None:
            raise gdb.GdbError("urge: there is no process, and no core file")
        if gdb.selected_thread().is_running():
            raise gdb.GdbError("urge: the selected thread runs; interrupt it first")
        self.sched = variable("sched")
        if not word(self.sched["on"]):
            raise gdb.GdbError("urge: nothing runs: no thread is in urge::run")
        self.ns_per_tick = float(variable("ns_per_tick"))
        self.ps = [variable("all_ps")[i] for i in range(word(self.sched["procs"]))]
        self.lwps = {t.ptid[1]: t for t in gdb.selected_inferior().threads()}
        self.gs = list(self.live_gs())
        threads = dict(self.gs_on_threads())
        for g in self.gs:
            g.thread = threads.get(g.address)
        latest = max(itertools.chain(
            (word(p[name]) for p in self.ps for name in ("slice_start", "run_start")),
            (word(g.value[name]) for g in self.gs for name in ("run_start", "runnable_since", "waiting_since")), (0,)))
        self.now = max(latest, ticks_here())
        self.clock_stands = self.now == latest

    def live_gs(self):
        slabs, made = variable("slabs::table"), word(variable("slabs::made"))
        for i in range(made):
            if i % PER_SLAB == 0:
                gs = plain(slabs[i // PER_SLAB])
            if enumerator(gs[i % PER_SLAB]["status"]) not in ("idle", "dead"):
                yield G(self, gs[i % PER_SLAB])

    def gs_on_threads(self):
        """Pairs of the address of a G and the thread that executes it. M::g is ahead for a moment in a switch: then
        the stack pointer is still on the stack of the G that is left."""
        m = self.sched["all_ms"]
        with kept_selection():
            while int(m):
                thread = self.lwps.get(word(m["tid"]))
                if thread:
                    left, here = m["after"]["prev"], False
                    if int(left) and thread.is_stopped():
                        thread.switch()
                        low = int(left["stk"]["low"])
                        here = low <= int(gdb.newest_frame().read_register("rsp")) < low + int(left["stk"]["size"])
                    yield (int(left) if here else word(m["g"])), thread
                m = m["next_all"]

    def time(self, ticks):
        ns = ticks * self.ns_per_tick
        for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
            if abs(ns) >= 10 * size or unit == "us":
                return f"{ns / size:.0f} {unit}"


def thread_name(thread):
    return f"{thread.num} (LWP {thread.ptid[1]})" if thread else "-"


class G:
    def __init__(self, program, value):
        self.program, self.value, self.address = program, value, int(value.address)
        self.id, self.status, self.thread = int(value["id"]), enumerator(value["status"]), None

    def registers(self):
        """As urge_jump has left them; null: it has not begun. One that a signal has stopped has been left in the
        landing, and gdb finds its way through the trampoline to the interrupted instruction."""
        at = int(self.value["context"])
        if not at or self.thread:
            return None
        saved = struct.unpack("9Q", gdb.selected_inferior().read_memory(at, 72).tobytes())
        if saved[8] == 0:
            raise gdb.GdbError("its stack is not in the core file")
        registers = dict(zip(("r12", "r13", "r14", "r15", "rbx", "rbp", "rip"), saved[2:]), rsp=at + 72)
        if self.value["stopped_by_signal"] and int(self.value["saved"]):
            # The other ones no table describes; to gdb they pass unchanged through the functions in between.
            area = gdb.selected_inferior().read_memory(int(self.value["saved"]) - 88, 64).tobytes()
            registers.update(zip(("r11", "r10", "r9", "r8", "rdi", "rsi", "rdx", "rcx"), struct.unpack("8Q", area)))
        return registers

    def state(self):
        text = self.status
        if self.status == "waiting":
            waited = self.program.now - word(self.value["waiting_since"])
            return f"{enumerator(self.value['reason'])}, {self.program.time(max(waited, 0))}"
        if self.value["stopped_by_signal"]:
            text += ", stopped by signal"
        return text

    def cpu(self):
        ticks = word(self.value["cpu"])
        if self.thread and self.status in ("running", "suspect"):
            ticks += max(0, self.program.now - word(self.value["run_start"]))
        return self.program.time(ticks)

    def details(self):
        v = self.value
        low = int(v["stk"]["low"])
        stack = f"stack {low:#x}-{low + int(v['stk']['size']):#x}" if low else "no stack yet"
        return (f"weight {int(v['weight'])}, preempted {word(v['n_cooperative'])} times at yield points and "
                f"{word(v['n_async']) + word(v['n_kernel_thread'])} by signal, longest wait for a P "
                f"{self.program.time(word(v['max_wait']))}, {stack}")


class GCalls(gdb.unwinder.Unwinder):
    """The selected thread's innermost frame was called by a G that stands with these registers."""

    def __init__(self):
        super().__init__("urge-g")
        self.registers, self.level = None, None

    def __call__(self, pending):
        if self.level is None:
            self.level = pending.level()  # asked for the first time; before it are functions inlined there
        if pending.level() != self.level:
            return None

        def register(name, value):
            return gdb.Value(value).cast(pending.read_register(name).type)

        class Id:  # just below the G's frame, as gdb wants a callee
            sp = register("rsp", self.registers["rsp"] - 16)
            pc = pending.read_register("rip")

        info = pending.create_unwind_info(Id)
        for name, value in self.registers.items():
            info.add_saved_register(name, register(name, value))
        return info


@contextlib.contextmanager
def kept_selection():
    """Thread and frame are selected as before, whatever happens."""
    thread, level = gdb.selected_thread(), gdb.selected_frame().level()
    try:
        yield
    finally:
        thread.switch()
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        for _ in range(level):
            frame = frame.older() or frame
        frame.select()


@contextlib.contextmanager
def kept_setting(name, value):
    before = "on" if gdb.parameter(name) else "off"
    gdb.execute(f"set {name} {value}", to_string=True)
    try:
        yield
    finally:
        gdb.execute(f"set {name} {before}", to_string=True)


@contextlib.contextmanager
def frames_of_gs():
    """A function that selects the innermost frame of a G and returns it; None: it has not begun."""
    unwinder = GCalls()

    def leave_out():
        if unwinder in gdb.frame_unwinders:
            gdb.frame_unwinders.remove(unwinder)
        gdb.invalidate_cached_frames()

    def enter(g):
        leave_out()
        if g.thread:
            g.thread.switch()
            frame = gdb.newest_frame()
        else:
            unwinder.registers, unwinder.level = g.registers(), None
            if unwinder.registers is None:
                return None
            gdb.frame_unwinders.insert(0, unwinder)
            gdb.invalidate_cached_frames()
            frame = gdb.newest_frame()
            frame.type()  # now gdb has looked for its unwinder
            while frame and frame.level() <= unwinder.level:
                frame = frame.older()
            if frame is None:
                raise gdb.GdbError("gdb finds no frame of it")
        frame.select()
        return frame

    # Without that nothing has called a frame that is in main.
    with kept_selection(), kept_setting("backtrace past-main", "on"):
        try:
            yield enter
        finally:
            leave_out()


def is_own(frame):
    name = frame.name() or ""
    if frame.type() == gdb.INLINE_FRAME and name.startswith("std::"):
        return is_own(frame.older())  # an atomic of urge's is urge's
    return frame.type() == gdb.SIGTRAMP_FRAME or OWN_NAME.match(name) is not None


def users_frame(frame):
    """The innermost frame from there on that is not urge's own, nor between it and urge, as std::lock_guard's is; if
    there is none, the first."""
    at, inside, n = frame, False, 0
    while at and n < 200 and (is_own(at) or (inside and (at.name() or "").startswith("std::"))):
        inside = inside or is_own(at)
        at, n = at.older(), n + 1
    return at if at and n < 200 else frame


def position(frame):
    sal = frame.find_sal()
    where = f"{os.path.basename(sal.symtab.filename)}:{sal.line}" if sal.symtab else gdb.solib_name(frame.pc())
    return f"{frame.name() or hex(frame.pc())} ({where or 'no source'})"


def table(rows):
    """Columns as wide as they must be."""
    widths = [max(len(row[i]) for row in rows if len(row) > 1) for i in range(len(rows[0]))]
    for row in rows:
        gdb.write("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() + "\n"
                  if len(row) > 1 else f"      {row[0]}\n")


class InfoGs(gdb.Command):
    __doc__ = GS_HELP

    def invoke(self, argument, _from_tty):
        if argument not in ("", "-v"):
            raise gdb.GdbError(f"info urge-gs: '{argument}' is not known; there is only -v")
        program = Program()
        selected = gdb.selected_thread()
        rows = [("", "ID", "STATE", "CPU", "THREAD", "NAME", "AT")]
        with frames_of_gs() as enter:
            for g in program.gs:
                try:
                    frame = enter(g)
                    at = position(users_frame(frame)) if frame else "not begun"
                except (gdb.error, gdb.GdbError) as error:
                    at = f"({error})"
                rows.append(("*" if g.thread and g.thread.num == selected.num else "", str(g.id), g.state(), g.cpu(),
                             thread_name(g.thread), g.value["name"].string() or "-", at))
                if argument:
                    rows.append((g.details(),))
        table(rows)
        if program.clock_stands:
            gdb.write("times are up to the latest switch between Gs\n")


class InfoPs(gdb.Command):
    __doc__ = PS_HELP

    def invoke(self, argument, _from_tty):
        if argument:
            raise gdb.GdbError("info urge-ps: it takes no argument")
        program = Program()
        ids = {g.address: str(g.id) for g in program.gs}
        rows = [("P", "STATUS", "THREAD", "G", "NEXT", "QUEUE", "HEAD", "TAIL", "NEW", "SLICE", "REQUEST")]
        for p in program.ps:
            m = plain(p["m"])
            head, tail = word(p["queue"]["head_"]), word(p["queue"]["tail_"])
            # The upper half of that head is a count of its changes. A tail below it: its owner is about to find none.
            new = (word(p["spawned"]["tail_"]) - word(p["spawned"]["head_"])) % 2**32
            current, lwp = (word(m["g"]), word(m["tid"])) if int(m) else (0, 0)
            rows.append((str(int(p["id"])), enumerator(p["status"]), thread_name(program.lwps.get(lwp)),
                         ids.get(current, "-"), ids.get(word(p["runnext"]), "-"), str((tail - head) % 2**32),
                         str(head), str(tail), str(new if new <= 256 else 0), str(word(p["schedtick"])),
                         str(word(p["request"]) or "-")))
        table(rows)
        queues = [f"{int(program.sched[q]['n'])} {q}" for q in ("queue", "woken", "preempted")]
        gdb.write(f"of all Ps: {', '.join(queues)}\n")


class UrgeG(gdb.Command):
    __doc__ = G_HELP

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        who, _, command = argument.strip().partition(" ")
        command = command.strip()
        if not who:
            raise gdb.GdbError("urge-g: of which G? urge-g N bt, or urge-g all bt")
        if who != "all" and not (who.isascii() and who.isdigit()):
            raise gdb.GdbError(f"urge-g: '{who}' is no number of a G")
        if not command:
            raise gdb.GdbError(f"urge-g: which command? urge-g {who} bt")
        verb = re.match(r"[\w-]*", command)[0]
        if verb not in READERS:
            raise gdb.GdbError(f"urge-g: '{verb or command}' is not a command that only looks, as bt and print are")
        gs = [g for g in Program().gs if who == "all" or g.id == int(who)]
        if not gs:
            raise gdb.GdbError(f"urge-g: no G {who} is alive")
        # A call would be made on the thread that lends its place.
        with frames_of_gs() as enter, kept_setting("may-call-functions", "off"):
            for g in gs:
                if who == "all":
                    gdb.write(f"\nG {g.id} [{g.state()}] '{g.value['name'].string()}':\n")
                try:
                    self.run(g, enter, command, verb, from_tty)
                except (gdb.error, gdb.GdbError) as error:
                    if who != "all":
                        raise gdb.GdbError(str(error)) from None
                    gdb.write(f"{error}\n")

    @staticmethod
    def run(g, enter, command, verb, from_tty):
        frame = enter(g)
        if frame is None:
            raise gdb.GdbError(f"urge-g: G {g.id} has not begun: it has no stack yet")
        if verb not in ("bt", "backtrace", "where"):
            users_frame(frame).select()
            return gdb.execute(command, from_tty)
        # What belongs to the thread is left out, and not counted. (A frame filter could do it, but then gdb prints
        # arguments in another way, and complains of each that is optimised out.)
        foreign = frame.level()
        command = re.sub(r"(?<= )\d+$", lambda n: str(int(n[0]) + foreign), command)
        shown = gdb.execute(command, to_string=True)
        gdb.write(re.sub(rf"\A#0 .*?^(?=#{foreign} )", "", shown, flags=re.M | re.S) if foreign else shown)


InfoGs("info urge-gs", gdb.COMMAND_STATUS)
InfoPs("info urge-ps", gdb.COMMAND_STATUS)
UrgeG("urge-g", gdb.COMMAND_STACK)
