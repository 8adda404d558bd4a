# SPDX-License-Identifier: Apache-2.0
"""The `nestbox` program as a test uses it: a home of its own, commands with their results, running boxes, and patience."""
import atexit
import collections
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import processes

ROOT = pathlib.Path(__file__).parents[2]
# Another build, or an installed one, can be tested too.
PROGRAM = pathlib.Path(os.environ.get('NESTBOX_TEST_PROGRAM', ROOT / 'build' / 'nestbox'))
AS_USER = ROOT / 'tests' / 'as-user'

# Bounds of waits are multiplied by it: tools/kvm-bed is slow.
SLOWNESS = float(os.environ.get('NESTBOX_TEST_SLOWNESS', '1'))
SOAKING = os.environ.get('NESTBOX_SOAK') == '1'

# A cold boot without KVM on a loaded machine takes 3 s; ten times that is a hang.
PATIENCE_S = 60

# What the program may see of the environment that the tests were started in.
PASSED_ON = ('PATH', 'NESTBOX_ACCEL', 'NESTBOX_GUEST_DIR', 'NESTBOX_QEMU', 'LD_LIBRARY_PATH', 'ASAN_OPTIONS', 'UBSAN_OPTIONS')

# How much of an output an assertion shows.
SHOWN_BYTES = 2000


def is_for_everybody(path):
    """Whether another user gets to a program: may enter every folder above it, and read and execute it."""
    return os.stat(path).st_mode & 0o5 == 0o5 and all(os.stat(folder).st_mode & 0o1 for folder in path.resolve().parents)


@functools.cache
def program_for_everybody():
    """The program where an ordinary user gets to it: itself, or a copy with what it needs, where root keeps its clone to itself."""
    if is_for_everybody(PROGRAM):
        return PROGRAM
    folder = pathlib.Path(tempfile.mkdtemp(prefix='nestbox-program-'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in [PROGRAM, *PROGRAM.parent.glob('libnestbox.so*')]:
        if not file.is_dir():
            shutil.copy(file, folder)
    shutil.copytree(PROGRAM.parent / 'guest', folder / 'guest')
    subprocess.run(['chmod', '-R', 'a+rX', folder], check=True)
    return folder / PROGRAM.name


def rounds(few, soaking):
    """How often to repeat what must never go wrong."""
    return soaking if SOAKING else few


def templates_of(user):
    """Where the homes of a user's tests have their templates: one boot for all of them. conftest.py begins with none."""
    return f'/tmp/nestbox-test-templates-{user}'


# A home's templates are its own with it, as every user's are.
OWN_TEMPLATES = {'NESTBOX_TEMPLATES': None, 'NESTBOX_IMAGE_TEMPLATES': None}


def wait_until(what, condition, timeout=PATIENCE_S):
    """Waits for condition() to give something true, and returns that."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f'waited {timeout * SLOWNESS:.0f} s in vain: {what}'
        time.sleep(0.05)


def shown(output):
    text = output.decode(errors='backslashreplace')
    return text if len(text) <= SHOWN_BYTES else f'{text[:SHOWN_BYTES]}... ({len(output)} bytes)'


class Result:
    """What became of a command: its status, its stdout as bytes, its stderr as text (and as bytes in err_bytes)."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err_bytes = argv, code, out, err
        self.err = err.decode(errors='backslashreplace')

    @property
    def text(self):
        """Its stdout without the last newline."""
        return self.out.decode().removesuffix('\n')

    @property
    def lines(self):
        return self.out.decode().splitlines()

    def __repr__(self):
        words = ' '.join(shown(os.fsencode(word)) for word in self.argv)
        return f'<{words[:SHOWN_BYTES]} => {self.code}\nstdout: {shown(self.out)}\nstderr: {shown(self.err_bytes)}>'


class Nestbox:
    """The program with a home: Nestbox(home).run('ps', '-a').

    prefix   words before the program's own: another user, another mount namespace
    program  another than the build's
    """

    def __init__(self, home, prefix=(), env=None, program=PROGRAM):
        self.home = pathlib.Path(home)
        self.program = program
        self.prefix = [str(word) for word in prefix]
        self.env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.env |= {'HOME': str(self.home.parent), 'LANG': 'C.UTF-8', 'NESTBOX_HOME': str(self.home),
                     'NESTBOX_TEMPLATES': templates_of(os.geteuid())} | (env or {})
        self.history = collections.deque(maxlen=5)

    def argv(self, args):
        return [*self.prefix, str(self.program), *args]

    def environment(self, env):
        """With env over it, in which None takes a variable away."""
        return {name: value for name, value in (self.env | (env or {})).items() if value is not None}

    def popen(self, *args, env=None, **options):
        """Starts it and returns at once; the streams are pipes, stdin /dev/null."""
        streams = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        return subprocess.Popen(self.argv(args), env=self.environment(env), **(streams | options))

    def run(self, *args, input=None, env=None, timeout=PATIENCE_S, **options):
        """Runs it to its end. Without input its stdin is /dev/null."""
        if input is not None:
            options['stdin'] = subprocess.PIPE
        return self.finish(self.popen(*args, env=env, **options), input=input, timeout=timeout)

    def finish(self, process, input=None, timeout=PATIENCE_S):
        """The result of what popen() has started."""
        with process:
            try:
                out, err = process.communicate(input, timeout=timeout * SLOWNESS)
            except subprocess.TimeoutExpired as expired:
                how = 'it has ended, but somebody holds its streams' if process.poll() is not None else 'it still runs'
                # All of them: whoever holds the streams would keep the clean-up waiting.
                processes.kill(processes.alive())
                seen = f'stdout: {shown(expired.stdout or b"")}\nstderr: {shown(expired.stderr or b"")}'
                raise AssertionError(f'{process.args} has not finished within {timeout * SLOWNESS:.0f} s: {how}\n{seen}') from None
        result = Result(process.args, process.returncode, out or b'', err or b'')
        self.history.append(result)
        return result

    def ok(self, *args, **options):
        """Runs it, and it succeeds."""
        result = self.run(*args, **options)
        assert result.code == 0, result
        return result

    def json(self, *args):
        return json.loads(self.ok(*args).out)

    def inspect(self, box):
        return self.json('inspect', box)[0]

    def state(self, box):
        return self.inspect(box)['state']

    def boxes(self):
        return self.json('ps', '-a', '--format', 'json')

    def wait_for_state(self, box, state, timeout=PATIENCE_S):
        wait_until(f"box '{box}' is {state}", lambda: self.state(box) == state, timeout)
        return self.inspect(box)

    def wait_for_log(self, box, line):
        wait_until(f"box '{box}' has written {line!r}", lambda: line in self.ok('logs', box).out)

    def running_box(self, *options, name='box', image='busybox', command=('sleep', '100000')):
        """Starts a box that does nothing until it is stopped."""
        self.ok('run', '-d', '--name', name, *options, image, *command)
        return Box(self, name)

    def files(self):
        """All paths below the home, relative to it."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob('*'))

    def report(self):
        """What a person wants to know after a failure."""
        parts = [f'last: {result!r}' for result in self.history]
        for folder in sorted(self.home.glob('boxes/*')):
            for path in (folder / 'shim.log', folder / 'run'):
                if path.is_file():
                    parts.append(f'{path}:\n{shown(path.read_bytes()[-SHOWN_BYTES:])}')
            console = subprocess.run(self.argv(['logs', '--console', folder.name]), env=self.environment(None), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10 * SLOWNESS, check=False)
            parts.append(f'console of {folder.name}:\n{shown(console.stdout[-SHOWN_BYTES:])}')
        parts.append('processes:\n' + '\n'.join(str(process) for process in processes.descendants()))
        return '\n'.join(parts)


class Box:
    """One box of a home: box.exec('echo', 'hi'), box.sh('exit 3')."""

    def __init__(self, nestbox, name):
        self.nestbox, self.name = nestbox, name

    def argv(self, command, options=()):
        return ['exec', *options, self.name, *command]

    def exec(self, *command, options=(), **run_options):
        return self.nestbox.run(*self.argv(command, options), **run_options)

    def sh(self, script, *args, options=(), **run_options):
        return self.exec('sh', '-c', script, 'sh', *args, options=options, **run_options)

    def popen(self, *command, options=(), **popen_options):
        return self.nestbox.popen(*self.argv(command, options), **popen_options)

    def finish(self, process, **options):
        return self.nestbox.finish(process, **options)

    def lives(self, pid_file):
        """Whether the process whose pid stands in that file of the box lives. In a box without an init a dead one may stay as a zombie."""
        return self.sh('grep -q "^State:.[RSDT]" "/proc/$(cat "$1")/status" 2>/dev/null', pid_file).code == 0

    def inspect(self):
        return self.nestbox.inspect(self.name)

    def state(self):
        return self.nestbox.state(self.name)


class Homes:
    """Makes homes, and when a test is over finds out whether it, or the program, has left something behind."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='nestbox-test-'))
        # Other users must get to homes that are theirs.
        self.folder.chmod(0o755)
        # No registry is asked that a test does not name.
        self.registries = self.folder / 'registries.json'
        self.set_registries(unqualified_search=[])
        self.before = processes.alive()
        self.made = []

    def set_registries(self, **settings):
        self.registries.write_text(json.dumps({'unqualified_search': []} | settings))

    def make(self, name='home', env=None, **options):
        return self.add(Nestbox(self.folder / name, env={'NESTBOX_REGISTRIES': str(self.registries)} | (env or {}), **options))

    def add(self, nestbox):
        self.made.append(nestbox)
        return nestbox

    def new_processes(self):
        return [process for process in processes.alive() if process not in self.before]

    def unaccounted_processes(self):
        """Processes that belong to no box which the program says is alive."""
        known = set()
        for nestbox in self.made:
            if nestbox.home.is_dir() and (nestbox.home / 'nestbox.db').exists():
                listed = nestbox.run('ps', '-a', '--format', 'json')
                for box in json.loads(listed.out) if listed.code == 0 else []:
                    known |= {box['shim_pid'], box['machine_pid']}
        # A file server belongs to the box of the shim that started it.
        return [process for process in self.new_processes()
                if process.pid not in known and not (process.name == 'nestbox-files' and process.parent in known)]

    def close(self):
        """Removes all boxes, kills what is left, and says what should not have been there."""
        wrong = []
        try:
            wait_until('no process without a box', lambda: not self.unaccounted_processes(), timeout=15)
        except AssertionError:
            wrong.append(f'processes without a box: {", ".join(map(str, self.unaccounted_processes()))}')
        for nestbox in self.made:
            wrong += self.empty(nestbox)
        left = self.new_processes()
        if left:
            wrong.append(f'processes left behind: {", ".join(map(str, left))}')
            processes.kill(left)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not wrong, '\n'.join(wrong)

    @staticmethod
    def empty(nestbox):
        """Removes its boxes, and names what stays of them."""
        if not (nestbox.home / 'nestbox.db').exists():
            return []
        result = nestbox.run('rm', '-f', '-a')
        if result.code != 0:
            return [f'its boxes cannot be removed: {result!r}']
        left = [path for path in nestbox.files() if path.startswith('boxes/')]
        return [f'files of removed boxes: {left}'] if left else []
