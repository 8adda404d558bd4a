# SPDX-License-Identifier: Apache-2.0
"""What is shown of work that takes long: bars on a terminal, lines elsewhere, nothing where it is not wanted; and the end of it by Ctrl-C."""
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import fcntl

import pytest

from layout import Tar
from nestbox import wait_until
from registry import Answer, FakeRegistry

STALLED_AT = 300000


class Screen:
    """As much of a terminal as progress needs: what stands on it, after all that was written."""

    def __init__(self, columns):
        self.columns, self.lines, self.row, self.column, self.written = columns, [''], 0, 0, b''

    def feed(self, data):
        self.written += data
        for piece in re.findall(r'\x1b\[\d*[A-Z]|.|\n|\r', data.decode(), re.DOTALL):
            if piece == '\n':
                self.row += 1
                while len(self.lines) <= self.row:
                    self.lines.append('')
            elif piece == '\r':
                self.column = 0
            elif piece[0] == '\x1b':
                self.control(int(piece[2:-1] or '1' if piece[-1] == 'A' else piece[2:-1] or '0'), piece[-1])
            else:
                assert self.column < self.columns, 'the line is wider than the terminal'
                self.lines[self.row] = self.lines[self.row][:self.column].ljust(self.column) + piece
                self.column += 1

    def control(self, number, letter):
        if letter == 'A':
            assert number <= self.row, 'above the first line'
            self.row -= number
        elif letter == 'K':
            self.lines[self.row] = self.lines[self.row][:self.column]
        else:
            assert letter == 'J', letter
            self.lines = self.lines[:self.row] + [self.lines[self.row][:self.column]]

    def text(self):
        return '\n'.join(self.lines)


@pytest.fixture
def image(oci):
    return oci.image('1', [Tar().file('one', os.urandom(1000)).bytes(), Tar().file('two', os.urandom(STALLED_AT * 2)).bytes()], Cmd=['/none'])


@pytest.fixture
def stalled(homes, oci, image):
    """A registry that once sends a part of the second layer, and then nothing until it is told to stop."""
    digest = image['layers'][1]['digest']
    answers = [Answer(200, oci.blob_path(digest).read_bytes(), cut=STALLED_AT, keep_open=True)]

    def script(request):
        if digest in request.path and answers:
            raise answers.pop()
    with FakeRegistry(oci, script) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        yield registry


def left(nb):
    """What an image consists of: names, disks, blobs and parts."""
    files = [path for path in nb.files() if path.startswith(('images/', 'layout/')) and (nb.home / path).is_file()]
    return nb.json('images', '--format', 'json') + [path for path in files if path not in ('images/lock', 'layout/lock')]


def on_terminal(nb, *args, rows=24, columns=100):
    """Starts it with a terminal as stderr: the process, and a function that brings the screen up to date."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    process = nb.popen(*args, stderr=theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    screen = Screen(columns)

    def look():
        try:
            screen.feed(os.read(ours, 65536))
        except (BlockingIOError, OSError):
            pass
        return screen
    return process, look


@pytest.mark.parametrize('columns', [100, 30])
def test_a_terminal_has_a_bar_for_each_part_which_go_at_the_end(nb, image, stalled, columns):
    first, second = (layer['digest'].removeprefix('sha256:')[:12] for layer in image['layers'])
    process, look = on_terminal(nb, 'pull', f'{stalled.host}/app:1', columns=columns)
    if columns == 100:
        bar = re.compile(rf'{second}  fetching +\[=+> +\] 293\.0 KiB of 5\d\d\.\d KiB')
    else:
        bar = re.compile(rf'{second}  fetching')
    wait_until('the second layer stands at its half', lambda: bar.search(look().text()))
    assert f'{first}  fetched' in look().text() and len(look().lines) <= 6
    stalled.stopping.set()
    result = nb.finish(process)
    wait_until('all was written', lambda: look() and look().written.endswith(b'\x1b[J'))
    assert result.code == 0 and look().text().strip() == '', look().text()


def test_a_low_terminal_has_no_more_lines_than_fit(homes, nb, oci):
    layers = [Tar().file(f'file{i}', os.urandom(2000)).bytes() for i in range(12)]
    image = oci.image('1', layers, Cmd=['/none'])
    stall = {layer['digest'] for layer in image['layers'][3:]}

    def script(request):
        digest = request.path.rpartition('/')[2]
        if digest in stall:
            stall.discard(digest)
            raise Answer(200, oci.blob_path(digest).read_bytes(), cut=1000, keep_open=True)
    with FakeRegistry(oci, script) as registry:
        homes.set_registries(registries={registry.host: {'plain_http': True}})
        process, look = on_terminal(nb, 'pull', f'{registry.host}/app:1', rows=8)
        wait_until('the sum is shown', lambda: ' of 13 parts' in look().text())
        assert len(look().lines) <= 8, look().text()
        registry.stopping.set()
        assert nb.finish(process).code == 0


def test_elsewhere_a_line_says_how_far_all_parts_are(nb, stalled):
    client = nb.popen('pull', f'{stalled.host}/app:1')
    os.set_blocking(client.stderr.fileno(), False)
    seen = b''

    def has_line():
        nonlocal seen
        seen += client.stderr.read() or b''
        return re.search(rb'^(fetching, 2 of 3 parts: \d.*|waiting for the registry)$', seen, re.MULTILINE)
    wait_until('a line', has_line)
    assert b'\x1b' not in seen and b'\r' not in seen
    stalled.stopping.set()
    os.set_blocking(client.stderr.fileno(), True)
    assert nb.finish(client).code == 0


def test_quiet_shows_nothing(nb, stalled):
    process, look = on_terminal(nb, 'pull', '--quiet', f'{stalled.host}/app:1')
    wait_until('it has stalled', lambda: any(STALLED_AT == path.stat().st_size for path in nb.home.glob('layout/parts/*')))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    stalled.stopping.set()
    assert nb.finish(process).code == 0 and look().written == b''


def test_ctrl_c_ends_a_run_that_fetches_and_leaves_nothing(homes, nb, stalled):
    client = nb.popen('run', f'{stalled.host}/app:1')
    wait_until('it has stalled', lambda: any(STALLED_AT == path.stat().st_size for path in nb.home.glob('layout/parts/*')))
    client.send_signal(signal.SIGINT)
    result = nb.finish(client)
    assert (result.code, result.out) == (130, b'') and 'nestbox: ' not in result.err, result
    wait_until('nothing runs', lambda: homes.new_processes() == [])
    assert left(nb) == [] and nb.boxes() == []


def test_a_killed_pull_keeps_what_came_and_the_next_goes_on(homes, nb, image, stalled):
    client = nb.popen('pull', f'{stalled.host}/app:1')
    wait_until('it has stalled', lambda: any(STALLED_AT == path.stat().st_size for path in nb.home.glob('layout/parts/*')))
    client.send_signal(signal.SIGINT)
    assert nb.finish(client).code == -signal.SIGINT
    wait_until('nothing runs', lambda: homes.new_processes() == [])
    nb.ok('pull', f'{stalled.host}/app:1')
    assert stalled.headers_of(image['layers'][1]['digest'])[-1].get('Range') == f'bytes={STALLED_AT}-'


def test_what_came_of_a_killed_pull_goes_after_a_day_at_the_next_open(homes, nb, image, stalled):
    client = nb.popen('pull', f'{stalled.host}/app:1')
    wait_until('it has stalled', lambda: any(STALLED_AT == path.stat().st_size for path in nb.home.glob('layout/parts/*')))
    client.kill()
    nb.finish(client)
    wait_until('nothing runs', lambda: homes.new_processes() == [])
    kept = left(nb)
    assert len(kept) >= 3 and any('parts/' in path for path in kept), kept
    assert left(nb) == kept, 'it stays for a day'
    for path in kept:
        then = (nb.home / path).stat().st_mtime - 25 * 3600
        os.utime(nb.home / path, (then, then))
    nb.ok('images')
    assert left(nb) == []
