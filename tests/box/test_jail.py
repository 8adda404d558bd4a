# SPDX-License-Identifier: Apache-2.0
"""The jail that a machine's process runs in: tests/jail has a hostile program in it, here are QEMU itself and what the user sees."""
import os
import pathlib
import re


def status_of(pid):
    return dict(line.split(':\t', 1) for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines())


def test_qemu_runs_under_both_filters_and_has_only_what_it_was_given(anyone):
    box = anyone.running_box()
    pid = box.inspect()['machine_pid']
    status = status_of(pid)
    assert status['Seccomp'] == '2' and status['Seccomp_filters'] == '2' and status['NoNewPrivs'] == '1'
    targets = [os.readlink(path) for path in pathlib.Path(f'/proc/{pid}/fd').iterdir()]
    files = {target for target in targets if target.startswith('/') and not target.startswith(('/dev/', '/memfd:'))}
    # Its disk, the base disk under it, and the kernel that it has booted or the template that it goes on from.
    assert {pathlib.Path(file).name for file in files} - {'disk.qcow2', 'vmlinuz', 'memory', 'state'} == {pathlib.Path(file).name for file in files
                                                                                     if file.endswith('.ext4')}, files
    base = next(path for path in pathlib.Path(f'/proc/{pid}/fd').iterdir() if os.readlink(path).endswith('.ext4'))
    flags = int(next(line for line in (pathlib.Path(f'/proc/{pid}/fdinfo') / base.name).read_text().splitlines() if 'flags' in line).split()[1], 8)
    assert flags & os.O_ACCMODE == os.O_RDONLY


def test_a_program_in_qemu_s_place_gets_no_file_of_the_user_s(nb, files):
    # The shell's own libraries are opened for it, and the script, which is the program; nothing else of the user's is.
    script, secret = files / 'qemu', files / 'secret'
    secret.write_text('secret')
    script.write_text(f'#!/bin/sh\necho mine >{files}/written\ncat {secret}\necho x >>{secret}\nexit 7\n')
    script.chmod(0o755)
    result = nb.run('--log-level', 'info', 'run', '--name', 'box', 'busybox', 'true', env={'NESTBOX_QEMU': str(script), 'NESTBOX_TEMPLATES': 'off'})
    assert result.code == 125 and not (files / 'written').exists() and secret.read_text() == 'secret', result
    log = next(nb.home.glob('boxes/*/shim.log')).read_text()
    assert f"asked for '{files}/written'" in log and f"asked for '{secret}'" in log and 'refused' in log


def test_a_box_works_where_qemu_has_been_refused_what_it_does_not_need(nb):
    """Start, disk, console, end: nothing of it needs a file that the policy does not know."""
    nb.ok('--log-level', 'info', 'run', '--name', 'box', 'busybox', 'sh', '-c', 'dd if=/dev/zero of=/file bs=1M count=8 && sync')
    log = next(nb.home.glob('boxes/*/shim.log')).read_text()
    refused = set(re.findall("process asked for '([^']*)'", log))
    assert refused <= {'.', '/dev/sgx_vepc'}, refused
