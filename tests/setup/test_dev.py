# SPDX-License-Identifier: Apache-2.0
"""./dev: what a newcomer sees, also where something is missing; the list of packages; running as another user."""
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def open_dir():
    """A temporary folder that other users can get to, unlike pytest's own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='nestbox-setup-'))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)


def packages():
    lines = (ROOT / 'tools' / 'packages').read_text().splitlines()
    return [line.split()[1] for line in lines if line and not line.startswith('#')]


def test_help_goes_to_stdout():
    result = run(ROOT / 'dev', 'help')
    assert result.returncode == 0 and result.stdout.startswith('usage: ./dev run')


def test_an_unknown_command_is_named_on_stderr():
    result = run(ROOT / 'dev', 'biuld')
    assert (result.returncode, result.stdout) == (1, '')
    assert result.stderr.endswith("dev: no such command: 'biuld'\n")


def test_setup_refuses_arguments():
    result = run(ROOT / 'dev', 'setup', 'now')
    assert (result.returncode, result.stdout, result.stderr) == (1, '', "dev: setup takes no arguments, got 'now'\n")


def test_without_rights_the_missing_packages_and_the_way_out_are_named(open_dir):
    tree = open_dir / 'tree'
    (tree / 'tools').mkdir(parents=True)
    shutil.copy(ROOT / 'dev', tree)
    (tree / 'tools' / 'packages').write_text(
        '# a comment\n\nbuild dpkg\nbuild nestbox-nowhere\nbuild nestbox-elsewhere pdp11\ntest nestbox-later\n')
    result = run(ROOT / 'tests' / 'as-user', open_dir / 'home', tree / 'dev', 'run')
    assert (result.returncode, result.stdout) == (1, '')
    assert 'apt-get update && apt-get install -y --no-install-recommends nestbox-nowhere\n' in result.stderr
    assert 'elsewhere' not in result.stderr and 'later' not in result.stderr and ' dpkg' not in result.stderr


def test_the_documents_say_what_each_package_is_for():
    text = (ROOT / 'docs' / 'dependencies.md').read_text()
    assert [name for name in packages() if f'`{name}`' not in text] == []


def test_the_documents_name_no_package_that_is_not_asked_for():
    tables = (ROOT / 'docs' / 'dependencies.md').read_text().split('## What `./dev` installs')[1]
    named = {name for row in re.findall(r'^\| (`[^|]*) \|', tables, re.M) for name in re.findall(r'`([^`]*)`', row)}
    assert sorted(named - set(packages())) == []


def test_as_user_has_no_rights_and_a_home_of_its_own(open_dir):
    script = 'grep -E "^(Uid|CapBnd|CapEff|NoNewPrivs):" /proc/self/status; touch "$HOME/x"; env; exit 7'
    result = run(ROOT / 'tests' / 'as-user', open_dir / 'home', 'sh', '-c', script, env={'PATH': '/usr/sbin:/usr/bin', 'SECRET': '1'})
    assert result.returncode == 7, result.stderr
    assert (open_dir / 'home' / 'x').stat().st_uid != 0
    assert f'HOME={open_dir}/home\n' in result.stdout and 'SECRET' not in result.stdout
    assert re.search(r'^CapEff:\s0+$', result.stdout, re.M) and re.search(r'^NoNewPrivs:\s1$', result.stdout, re.M)
