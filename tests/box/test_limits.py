# SPDX-License-Identifier: Apache-2.0
"""What a box may take: enforced in its guest, by QEMU, and by the host, as far as the host can; and what it gives back."""
import json
import os
import pathlib
import re

import pytest
from nestbox import SLOWNESS, wait_until

MIB = 1 << 20
# What the program may use here, as this test sees it.
HIERARCHIES = {'cpu': ('cpu.cfs_quota_us', 'cpu.max'), 'memory': ('memory.limit_in_bytes', 'memory.max'), 'pids': ('pids.max', 'pids.max')}


def groups_of(pid):
    """The folder of each controller's control group of a process: {'cpu': (path, is version 1)}."""
    mounts = {}
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        before, _, after = line.partition(' - ')
        kind, _, options = after.split(' ')[:3]
        if kind == 'cgroup2':
            mounts[''] = before.split(' ')[4]
        elif kind == 'cgroup':
            mounts |= {controller: before.split(' ')[4] for controller in options.split(',')}
    found = {}
    for line in pathlib.Path(f'/proc/{pid}/cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        for controller in controllers.split(','):
            if controller in mounts:
                found[controller] = (pathlib.Path(mounts[controller] + path), controller != '')
    return {controller: found.get(controller) or found.get('') for controller in HIERARCHIES}


def held(pid, box_id):
    """What the groups of a process that bear the box's id hold it to."""
    values = {}
    for controller, place in groups_of(pid).items():
        if place and box_id in place[0].name:
            path = place[0] / HIERARCHIES[controller][0 if place[1] else 1]
            if path.exists() and not path.read_text().startswith(('max', '-1')):
                values[controller] = path.read_text().split()[0]
    return values


def settled(box):
    """The box as it is shown once systemd, where it is asked, has answered."""
    def look():
        info = box.inspect()
        return info if info['host_limits']['by'] or info['host_limits']['missing'] else None
    return wait_until('the host has taken the machine in hand, or said why not', look)


def test_what_is_told_of_the_host_s_limits_is_what_its_kernel_says(anyone):
    box = anyone.running_box('--cpus', '0.5', '-m', '100m')
    info = settled(box)
    limits = info['host_limits']
    there = held(info['machine_pid'], info['id'])
    assert {name for name in HIERARCHIES if limits[name]} == set(there), (limits, there)
    assert (limits['missing'] is None) == (set(there) == set(HIERARCHIES)) and bool(limits['by']) == bool(there)
    assert there.get('cpu', '50000') == '50000'
    # Wide enough for the machine, and a bound nevertheless.
    assert 256 * MIB <= int(there.get('memory', 512 * MIB)) <= 1024 * MIB
    assert box.exec('echo', 'lives').text == 'lives'


def test_without_a_share_the_host_leaves_a_processor_for_the_machine_itself(nb):
    info = settled(nb.running_box())
    assert held(info['machine_pid'], info['id']).get('cpu', '200000') == '200000'
    assert info['cpu_limit'] is None and info['cpus'] == 1


@pytest.mark.parametrize('way', ['stop', 'kill the shim'])
def test_no_control_group_stays_behind(nb, way):
    box = nb.running_box('--cpus', '1')
    info = settled(box)
    groups = [place[0] for place in groups_of(info['machine_pid']).values() if place and info['id'] in place[0].name]
    assert all(group.is_dir() for group in groups)
    if way == 'stop':
        nb.ok('stop', 'box')
    else:
        os.kill(info['shim_pid'], 9)
        nb.wait_for_state('box', 'stopped')
        nb.ok('start', 'box')
        assert box.inspect()['state'] == 'running'
        nb.ok('rm', '-f', 'box')
    wait_until('they are gone', lambda: not [group for group in groups if group.is_dir()])


def test_a_share_of_a_processor_is_enforced_in_the_guest_too(nb):
    box = nb.running_box('--cpus', '0.25')
    assert box.inspect()['cpu_limit'] == 0.25 and box.inspect()['cpus'] == 1
    assert box.exec('cat', '/sys/fs/cgroup/cpu.max').text == '25000 100000'
    before = box.exec('cat', '/sys/fs/cgroup/cpu.stat').text
    box.sh('i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done')
    after = box.exec('cat', '/sys/fs/cgroup/cpu.stat').text
    throttled = [int(re.search(r'nr_throttled (\d+)', text)[1]) for text in (before, after)]
    assert throttled[1] > throttled[0]


def test_a_share_brings_as_many_processors_as_it_takes(nb):
    box = nb.running_box('--cpus', '1.5')
    assert (box.inspect()['cpus'], box.inspect()['cpu_limit']) == (2, 1.5)
    assert box.exec('nproc').text == '2'


@pytest.mark.parametrize('option, value, range_', [
    ('--cpus', '0', '0.01 to 64'), ('--cpus', '0.001', '0.01 to 64'), ('--cpus', '65', '0.01 to 64'), ('--cpus', '1.2345', '0.01 to 64'),
    ('--cpus', '-1', '0.01 to 64'), ('--io-maxbandwidth', '1', '64.0 KiB to 1.0 TiB'), ('--io-maxbandwidth', '2000g', '64.0 KiB to 1.0 TiB'),
    ('--io-maxiops', '0', '10000000'), ('--io-maxiops', '1.5', '10000000')])
def test_a_limit_out_of_range_is_refused_with_its_range(nb, option, value, range_):
    result = nb.run('create', f'{option}={value}', 'busybox')
    assert result.code == 2 and f"{option} '{value}'" in result.err and range_ in result.err, result
    assert nb.boxes() == []


def seconds_of(box, script):
    """How long it took by the guest's clock, which is the host's."""
    began, ended = (float(word) for word in box.sh(f'read a _ </proc/uptime; {script}; read b _ </proc/uptime; echo $a $b').text.split())
    return ended - began


def test_the_disk_s_bandwidth_is_bounded_by_the_machine(nb):
    box = nb.running_box('--io-maxbandwidth', '4m')
    assert box.inspect()['io_bytes_per_second'] == 4 * MIB
    # Written past the guest's cache. Less than that cannot be: what is bounded is the quickest it may be.
    assert seconds_of(box, 'dd if=/dev/zero of=/file bs=1M count=16 oflag=direct 2>/dev/null') > 16 / 4 * 0.7
    assert box.exec('stat', '-c', '%s', '/file').text == str(16 * MIB)


def test_the_disk_s_operations_are_bounded_by_the_machine(nb):
    box = nb.running_box('--io-maxiops', '50')
    assert box.inspect()['io_operations_per_second'] == 50
    assert seconds_of(box, 'dd if=/dev/zero of=/file bs=4k count=200 oflag=direct 2>/dev/null') > 200 / 50 * 0.7


def machine_memory(nb):
    return json.loads(nb.ok('stats', '--no-stream', '--format', 'json', 'box').out)[0]['machine_memory_bytes']


def test_memory_that_the_guest_has_freed_goes_back_to_the_host(homes):
    nb = homes.make(env={'NESTBOX_TEMPLATES': 'off'})  # a machine that has booted: docs/templates.md
    box = nb.running_box('-m', '256m', '--tmpfs', '/held:size=200m')
    assert box.sh('head -c 150m /dev/zero >/held/it').code == 0
    full = machine_memory(nb)
    assert full > 150 * MIB
    assert box.sh('rm /held/it').code == 0
    # The guest tells of it by itself, after two seconds: mm/page_reporting.c.
    wait_until('most of it is back', lambda: machine_memory(nb) < full - 100 * MIB, timeout=60 * SLOWNESS)
    assert box.sh('head -c 150m /dev/zero | md5sum').code == 0
