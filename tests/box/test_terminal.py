# SPDX-License-Identifier: Apache-2.0
"""-t: a terminal at both ends."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from nestbox import PATIENCE_S, SLOWNESS, wait_until


class Terminal:
    """A terminal with the program on it: expect() what it shows, type() something, end() it."""

    def __init__(self, nb, *args, columns=100, rows=40):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b''
        self.process = subprocess.Popen(nb.argv(args), env=nb.environment(None), stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self, wait_s):
        if select.select([self.master], [], [], wait_s)[0]:
            self.seen += os.read(self.master, 65536)
            return True
        return False

    def expect(self, wanted):
        """Reads on until it shows wanted; returns all that it has shown up to there, and forgets it."""
        deadline = time.monotonic() + PATIENCE_S * SLOWNESS
        while wanted not in self.seen:
            may_come = self.process.poll() is None and time.monotonic() < deadline
            assert self.read(0.2) or may_come, f'waited for {wanted!r}, saw {self.seen[-2000:]!r}'
        end = self.seen.index(wanted) + len(wanted)
        shown, self.seen = self.seen[:end], self.seen[end:]
        return shown

    def type(self, text):
        os.write(self.master, text)

    def end(self):
        """The exit status; what was shown until then is in seen."""
        deadline = time.monotonic() + PATIENCE_S * SLOWNESS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f'the program has not ended, saw {self.seen[-2000:]!r}'
            self.read(0.05)
        while self.read(0.2):
            pass
        return self.process.returncode

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before


def on_terminal(box, *command, options=('-i', '-t'), **size):
    return Terminal(box.nestbox, *box.argv(command, options), **size)


def test_s18_a_terminal_has_everything_a_terminal_has(box):
    script = 'tty; test -t 0 && test -t 1 && test -t 2 && echo all three; echo mine >/dev/tty; echo err >&2; exit 7'
    with on_terminal(box, 'sh', '-c', script) as terminal:
        assert terminal.end() == 7
        lines = terminal.seen.decode().split('\r\n')
        assert lines[0].startswith('/dev/pts/') and lines[1:] == ['all three', 'mine', 'err', '']
        assert terminal.is_as_before()


def test_s18_the_command_leads_a_session_on_its_terminal(box):
    # pid, group, session and foreground group of the terminal are all its own.
    script = 'read pid name state parent group session terminal foreground rest </proc/self/stat; ' \
             '[ $pid = $$ ] && [ $group = $pid ] && [ $session = $pid ] && [ $foreground = $pid ] && [ $terminal != 0 ] && echo leader'
    with on_terminal(box, 'sh', '-c', script) as terminal:
        assert terminal.end() == 0
        assert terminal.seen == b'leader\r\n'


def test_s18_without_t_there_is_no_terminal(box):
    assert box.exec('test', '-t', '0').code == 1
    assert box.exec('test', '-t', '1').code == 1


def test_t_without_a_terminal_is_refused(box):
    result = box.exec('true', options=['-t'])
    assert result.code == 125 and 'the input device is not a TTY' in result.err, result


@pytest.mark.parametrize('columns,rows', [(80, 24), (132, 50), (2, 2)])
def test_s19_the_first_size_is_the_caller_s(box, columns, rows):
    with on_terminal(box, 'stty', 'size', columns=columns, rows=rows) as terminal:
        terminal.expect(f'{rows} {columns}\r\n'.encode())
        assert terminal.end() == 0


def test_s19_a_resize_reaches_the_command(box):
    with on_terminal(box, 'sh', '-c', 'trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 0.1; done') as terminal:
        terminal.expect(b'ready\r\n')
        terminal.resize(77, 33)
        terminal.expect(b'33 77\r\n')
        assert terminal.end() == 0


def test_s20_ctrl_c_interrupts_the_command_and_not_the_client(box):
    with on_terminal(box, 'sh', '-c', 'echo ready; sleep 1000; :') as terminal:
        terminal.expect(b'ready\r\n')
        terminal.type(b'\x03')
        assert terminal.end() == 130
        assert terminal.is_as_before()


def test_s21_all_bytes_arrive_before_the_end(box):
    with on_terminal(box, 'sh', '-c', 'head -c 300000 /dev/zero | tr "\\0" x; exit 4') as terminal:
        assert terminal.end() == 4
        assert terminal.seen.count(b'x') == 300000


def test_s05_a_background_child_that_holds_the_terminal_does_not_delay_the_end(box):
    with on_terminal(box, 'sh', '-c', 'sleep 300 & echo out; exit 5') as terminal:
        assert terminal.end() == 5
        assert terminal.seen == b'out\r\n'


def test_a_shell_can_be_used(box):
    with on_terminal(box, 'sh') as terminal:
        terminal.expect(b'# ')
        terminal.type(b'echo $((6 * 7))\n')
        terminal.expect(b'\r\n42\r\n')
        terminal.type(b'exit 9\n')
        assert terminal.end() == 9
        assert terminal.is_as_before()


def test_ctrl_p_ctrl_q_detaches_and_leaves_the_command_running(box):
    with on_terminal(box, 'sh', '-c', 'echo $$ >/tmp/detached; echo ready; sleep 1000; :') as terminal:
        terminal.expect(b'ready\r\n')
        terminal.type(b'\x10\x11')
        assert terminal.end() == 0
        assert terminal.is_as_before()
    assert box.lives('/tmp/detached')
    assert box.sh('kill -9 $(cat /tmp/detached)').code == 0


def test_the_keys_that_detach_are_chosen(nb):
    script = 'stty raw -echo; echo ready; head -c 3 | od -An -c; sleep 1000'
    with Terminal(nb, 'run', '-i', '-t', '--name', 'b', '--detach-keys', 'ctrl-@,d', 'busybox', 'sh', '-c', script) as terminal:
        terminal.expect(b'ready')
        terminal.type(b'\x10\x11\0')
        terminal.type(b'x')  # the last key was none of them after all: now it comes, and is the third byte
        terminal.expect(b'020 021  \\0')
        terminal.type(b'\0d')
        assert terminal.end() == 0
    assert nb.json('inspect', 'b')[0]['state'] == 'running'
    for command in (['run', 'busybox'], ['exec', 'b', 'true'], ['attach', 'b'], ['start', '-a', 'b']):
        refused = nb.run(command[0], '--detach-keys', 'ctrl-p,qq', *command[1:])
        assert refused.code in (2, 125)
        assert "'qq' is no key" in refused.err


def test_s20_a_client_that_is_killed_hangs_up(box):
    with on_terminal(box, 'sh', '-c', 'sleep 1000 & echo $! >/tmp/child; echo $$ >/tmp/shell; echo ready; wait; :') as terminal:
        terminal.expect(b'ready\r\n')
        terminal.process.kill()
        terminal.end()
    wait_until('shell and child are gone', lambda: not box.lives('/tmp/shell') and not box.lives('/tmp/child'), timeout=20)


def test_s20_a_detached_main_command_is_not_hung_up(nb):
    script = 'trap "echo hung up" HUP; echo ready; while :; do sleep 0.1; done'
    nb.ok('run', '-d', '-i', '-t', '--name', 'b', 'busybox', 'sh', '-c', script)
    nb.wait_for_log('b', b'ready')
    for _ in range(2):
        with Terminal(nb, 'start', '-a', '-i', 'b') as terminal:
            # Attached once it is raw: what is typed now comes back from the terminal in the box.
            wait_until('the client is attached', lambda: not terminal.is_as_before())
            terminal.type(b'typed')
            terminal.expect(b'typed')
            terminal.process.kill()
    assert nb.ok('exec', 'b', 'sleep', '0.5').code == 0
    assert nb.state('b') == 'running'
    assert b'hung up' not in nb.ok('logs', 'b').out


def test_raw_mode_is_undone_after_a_signal(box):
    with on_terminal(box, 'sh', '-c', 'echo ready; sleep 1000; :') as terminal:
        terminal.expect(b'ready\r\n')
        assert not terminal.is_as_before()
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert terminal.is_as_before()


def test_run_with_a_terminal(homes, nb):
    with Terminal(nb, 'run', '--rm', '-it', 'busybox', 'sh', '-c', 'tty; stty size; read line; echo "got $line"; exit 6') as terminal:
        terminal.expect(b'40 100\r\n')
        terminal.type(b'hello\n')
        terminal.expect(b'got hello\r\n')
        assert terminal.end() == 6
        assert terminal.is_as_before()
    assert homes.new_processes() == [] and nb.boxes() == []
