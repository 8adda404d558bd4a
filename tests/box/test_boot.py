# SPDX-License-Identifier: Apache-2.0
"""Boots: again and again on a busy machine; and those that cannot succeed."""
import os
import shutil
import subprocess

import pytest

from nestbox import PROGRAM, rounds


@pytest.fixture
def load():
    """A machine with better things to do."""
    stress = subprocess.Popen(['stress-ng', '--quiet', '--cpu', '4'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    stress.terminate()
    stress.wait()


@pytest.mark.tools('stress-ng')
def test_cold_boots_in_a_row_on_a_busy_machine(homes, load):
    nb = homes.make(env={'NESTBOX_TEMPLATES': 'off'})
    for number in range(rounds(3, 50)):
        assert nb.run('run', '--rm', 'busybox', 'echo', str(number)).text == str(number)


def failed(homes, nb, result, *named, code=125):
    """One clear line, perhaps a hint, and nothing left."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, b'') and 1 <= len(lines) <= 2, result
    assert lines[0].startswith('nestbox: run: ') and all(name in result.err for name in named), result
    assert homes.new_processes() == [] and nb.boxes() == [] and not [path for path in nb.files() if path.startswith('boxes/')]


def test_s36_without_a_kernel(homes, nb, files):
    result = nb.run('run', '--rm', 'busybox', 'true', env={'NESTBOX_GUEST_DIR': str(files)}, timeout=10)
    failed(homes, nb, result, str(files), '\nhint: ')


def test_s36_without_a_kernel_a_box_that_was_made_before_fails_and_starts_later(homes, nb, files):
    nb.ok('create', '--name', 'b', 'busybox', 'echo', 'hi')
    result = nb.run('start', '-a', 'b', env={'NESTBOX_GUEST_DIR': str(files)}, timeout=10)
    assert result.code == 125 and str(files) in result.err, result
    info = nb.inspect('b')
    assert info['state'] == 'failed' and str(files) in info['message'] and homes.new_processes() == []
    assert nb.ok('start', '-a', 'b').out == b'hi\n'


@pytest.mark.parametrize('path', ['/no/such/qemu', '/etc/passwd', 'relative'])
def test_s36_without_qemu(homes, nb, path):
    failed(homes, nb, nb.run('run', '--rm', 'busybox', 'true', env={'NESTBOX_QEMU': path}, timeout=10), path)


def test_s36_with_no_qemu_in_path(homes, nb):
    result = nb.run('run', '--rm', 'busybox', 'true', env={'PATH': '/nowhere', 'NESTBOX_QEMU': None}, timeout=10)
    failed(homes, nb, result, 'qemu-system-', '\nhint: ')


def test_s36_a_qemu_that_ends_at_once_is_told_with_its_words(homes, nb, files):
    (files / 'qemu').write_text('#!/bin/sh\necho "no machine today" >&2\nexit 3\n')
    (files / 'qemu').chmod(0o755)
    result = nb.run('run', '--rm', 'busybox', 'true', env={'NESTBOX_QEMU': str(files / 'qemu')}, timeout=15)
    failed(homes, nb, result, 'no machine today')


def test_s36_a_kernel_that_is_none(homes, nb, files):
    bundle = os.path.dirname(nb.json('info', '--format', 'json')['kernel'])
    shutil.copytree(bundle, files / 'guest', symlinks=False)
    kernel = files / 'guest' / 'vmlinuz'
    kernel.write_bytes(b'\0' * 1000)
    result = nb.run('run', '--rm', 'busybox', 'true', env={'NESTBOX_GUEST_DIR': str(files / 'guest')}, timeout=20)
    failed(homes, nb, result)


def test_s36_an_accelerator_that_cannot_be_used(homes, nb):
    if nb.json('info', '--format', 'json')['accelerator'] == 'kvm':
        pytest.skip('KVM can be used here')
    failed(homes, nb, nb.run('--accel', 'kvm', 'run', '--rm', 'busybox', 'true', timeout=10), 'kvm')


def test_the_program_runs_from_anywhere_and_through_a_link(homes, nb, files):
    (files / 'nb').symlink_to(PROGRAM)
    result = subprocess.run([files / 'nb', 'run', '--rm', 'busybox', 'echo', 'hi'], env=nb.env, cwd='/', capture_output=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, b'hi\n'), result
