# SPDX-License-Identifier: Apache-2.0
"""Which of the program's processes are alive, found without asking the program.

Theory of operation
    Shims and machines leave their parents behind on purpose. This process declares itself the reaper of its orphans (prctl(2),
    PR_SET_CHILD_SUBREAPER), so that whatever a test starts stays its descendant, however often it forks and whoever dies in between. What
    other programs on the same machine run is never seen, and so never killed.

    In exchange the orphans' ends have to be taken note of: a thread does, for those processes alone that the program under test starts by
    itself. The others belong to subprocess. SIGCHLD wakes that thread through a pipe; were the handler itself to look, hundreds of ends in
    a row would interrupt it in itself until the stack is full.
"""
import ctypes
import dataclasses
import os
import pathlib
import signal
import threading
import time

# A process's name as ps shows it is cut to 15 characters.
NAME_LENGTH = 15
HELPERS = ('nestbox-shim', 'nestbox-standby', 'nestbox-template', 'nestbox-image', 'nestbox-fetch', 'nestbox-files', 'qemu-system-')
PR_SET_CHILD_SUBREAPER = 36
PF_EXITING = 0x4  # proc(5), 'flags': it runs no code of its own any more


@dataclasses.dataclass(frozen=True)
class Process:
    """Two of them are equal when they are the same process, whatever it does just now."""
    pid: int
    started: int  # pids are used again
    parent: int = dataclasses.field(compare=False)
    state: str = dataclasses.field(compare=False)
    name: str = dataclasses.field(compare=False)
    exiting: bool = dataclasses.field(compare=False)

    def __str__(self):
        return f'{self.pid} (child of {self.parent}, {self.state}) {self.name}'


def read_process(pid):
    """The process, or None where it is gone."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_bytes()
        argv = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name stands in parentheses and may hold any character.
    short_name = stat[stat.index(b'(') + 1:stat.rindex(b')')]
    fields = stat[stat.rindex(b')') + 2:].split()
    # A program that was executed by descriptor has no useful short name, one that has ended no arguments.
    name = os.path.basename(argv[0]) or short_name
    return Process(int(pid), int(fields[19]), int(fields[1]), fields[0].decode(), name.decode(errors='backslashreplace'),
                   bool(int(fields[6]) & PF_EXITING))


def all_processes():
    found = (read_process(name) for name in os.listdir('/proc') if name.isdigit())
    return [process for process in found if process]


def descendants():
    """All processes below this one, dead ones that nobody has taken note of among them."""
    children = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found, parents = [], [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process.pid for process in below]
    return found


def is_helper(process):
    return process.name.startswith(HELPERS)


def alive():
    """The program's processes that live: clients, shims, machines, workers; oldest first.

    One that has called exit() does not count: a shim lets go of its box's lock by that, and so a client may know of the end, and be done,
    before the kernel has done with the process."""
    found = [p for p in descendants() if p.state not in 'ZX' and not p.exiting and (is_helper(p) or p.name == 'nestbox')]
    return sorted(found, key=lambda process: process.started)


def machines():
    return [process for process in alive() if process.name.startswith('qemu-system-')]


def adopt_orphans():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_CHILD_SUBREAPER)')
    ended, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    # One byte that waits is as good as many.
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    threading.Thread(target=reap_as_they_end, args=(ended,), name='reaper', daemon=True).start()


def reap_as_they_end(ended):
    while os.read(ended, 4096):
        reap_orphans()


def reap_orphans():
    for process in all_processes():
        # One executed by descriptor is called after that descriptor's number by older kernels.
        adopted = is_helper(process) or process.name.isdigit()
        if process.parent == os.getpid() and process.state == 'Z' and adopted:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def kill(processes):
    """Kills them and waits until they are gone."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reap_orphans()
        here = {process for process in descendants() if process.state not in 'ZX'}
        if here.isdisjoint(processes):
            return
        time.sleep(0.02)
