# SPDX-License-Identifier: Apache-2.0
"""What every test of the program can ask for: a home (nb), a running box (box), files in a folder of its own (files).

A fixture's end is part of its test: a process, or a file of a removed box, that is left behind fails it.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

import layout
import nestbox
import processes


def pytest_configure(config):
    config.addinivalue_line('markers', 'tools(NAMES...): programs that this test needs; they may be missing in tools/kvm-bed')
    processes.adopt_orphans()
    # nohup and background jobs of a shell ignore them, and programs keep it so; the program under test is to be started as from a terminal.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


# They take the longest: begun first, they are not what the last of several processes is busy with while the others are done.
LONG = ('test_volumes', 'test_care', 'test_pull', 'test_commit', 'test_images', 'test_copy', 'test_crash')


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def remove_templates(session):
    if not hasattr(session.config, 'workerinput'):  # of several processes the one that begins first and ends last
        for user in (os.geteuid(), 'user'):
            shutil.rmtree(nestbox.templates_of(user), ignore_errors=True)


def pytest_sessionstart(session):
    if not session.config.option.collectonly and not nestbox.PROGRAM.exists():
        pytest.exit(f'there is no {nestbox.PROGRAM}: run make first', returncode=1)
    remove_templates(session)


def pytest_sessionfinish(session):
    remove_templates(session)


def pytest_runtest_setup(item):
    in_kvm_bed = socket.gethostname() == 'kvm-bed'
    for marker in item.iter_markers('tools'):
        for tool in marker.args:
            if in_kvm_bed and subprocess.run(['which', tool], stdout=subprocess.DEVNULL, check=False).returncode != 0:
                pytest.skip(f'tools/kvm-bed has no {tool}, and no network to get it from')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        homes = [value for value in getattr(item, 'funcargs', {}).values() if isinstance(value, nestbox.Homes)]
        boxes = [value for value in getattr(item, 'funcargs', {}).values() if isinstance(value, nestbox.Box)]
        for nb in {id(nb): nb for nb in [*(nb for h in homes for nb in h.made), *(box.nestbox for box in boxes)]}.values():
            try:
                report.sections.append((str(nb.home), nb.report()))
            except (OSError, subprocess.SubprocessError) as error:
                report.sections.append((str(nb.home), f'no more to be found out: {error}'))


@pytest.fixture(scope='module')
def module_homes():
    """Homes for what the tests of one module share."""
    homes = nestbox.Homes()
    yield homes
    homes.close()


@pytest.fixture
def homes():
    """Homes for one test alone. What its module shares was started before, so it is not counted as the test's own."""
    homes = nestbox.Homes()
    yield homes
    homes.close()


@pytest.fixture
def nb(homes):
    """The program with an empty home."""
    return homes.make()


@pytest.fixture(scope='module')
def shared_box(module_homes):
    return module_homes.make('shared').running_box()


@pytest.fixture
def box(shared_box, homes):
    """A running busybox that the tests of a module share; a test that ends it fails, and those after it get it back."""
    if shared_box.state() != 'running':
        shared_box.nestbox.ok('start', shared_box.name)
        homes.before = processes.alive()  # its new processes are its module's, as the old ones were
    yield shared_box
    assert shared_box.state() == 'running', 'the test has ended the box'


def home_with_busybox(homes, *name):
    """A home with templates of its own, and none yet, which has the built-in image."""
    nb = homes.make(*name, env=nestbox.OWN_TEMPLATES)
    nb.ok('create', '--name', 'b', 'busybox')
    nb.ok('rm', 'b')
    return nb


@pytest.fixture(scope='module')
def built(module_homes):
    """A home for which templates of the machine and of the built-in image were made, and no box."""
    nb = home_with_busybox(module_homes, 'built')
    nb.ok('template', 'build', 'busybox')
    return nb


@pytest.fixture
def unfilled(homes):
    """A home with no template, which has the built-in image."""
    return home_with_busybox(homes)


@pytest.fixture
def filled(built, unfilled):
    """The same with templates that it may spoil."""
    subprocess.run(['cp', '-a', '--sparse=auto', built.home / 'templates', unfilled.home], check=True)
    return unfilled


@pytest.fixture
def files(homes):
    """A folder for files of this test, which other users can read."""
    path = homes.folder / 'files'
    path.mkdir()
    return path


@pytest.fixture
def oci(files):
    """An empty OCI layout to put images into."""
    return layout.Layout(files / 'layout')


@pytest.fixture(scope='module')
def busybox_layer(module_homes):
    """A layer with all of the built-in image: the bytes of a tar archive."""
    return layout.busybox_tar(layout.busybox_of(module_homes.make('parts'))).bytes()


def user_home(homes, name='user'):
    """The program as an ordinary user without rights, whoever runs the tests."""
    folder = homes.folder / name
    env = {'NESTBOX_HOME': str(folder / 'home'), 'NESTBOX_REGISTRIES': str(homes.registries),
           'NESTBOX_TEMPLATES': nestbox.templates_of('user')}
    for variable in ('NESTBOX_GUEST_DIR', 'NESTBOX_QEMU'):
        if variable in os.environ:
            env[variable] = os.environ[variable]
    words = [nestbox.AS_USER, folder, 'env', *(f'{key}={value}' for key, value in env.items())]
    return homes.add(nestbox.Nestbox(folder / 'home', prefix=words, program=nestbox.program_for_everybody()))


@pytest.fixture
def as_user(homes):
    return user_home(homes)


@pytest.fixture(params=['oneself', 'an ordinary user'] if os.geteuid() == 0 else ['an ordinary user'])
def anyone(request, homes):
    """The program with an empty home, as whoever runs the tests and as an ordinary user."""
    return homes.make() if request.param == 'oneself' else user_home(homes)


@pytest.fixture(scope='session')
def python_image():
    """A folder with an OCI layout of Debian's python3, tag "latest"; made once, which needs Debian's mirror, and then kept."""
    made = subprocess.run([nestbox.ROOT / 'tests' / 'images' / 'make-python'], stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(made.stdout.strip())
