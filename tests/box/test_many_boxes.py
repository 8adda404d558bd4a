# SPDX-License-Identifier: Apache-2.0
"""Many boxes at once, and many one after the other: nothing is mixed up, and nothing is left."""
import concurrent.futures

import processes
from nestbox import rounds


def test_boxes_that_run_at_once_are_each_their_own(homes, nb):
    count = rounds(5, 24)
    nb.ok('images')

    def start(number):
        nb.ok('run', '-d', '--name', f'box{number}', '--hostname', f'host{number}', '-m', '64m', 'busybox', 'sleep', '100000', timeout=600)
        return nb.ok('exec', f'box{number}', 'sh', '-c', f'echo {number} >/number; hostname', timeout=600).text
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        assert list(pool.map(start, range(count))) == [f'host{number}' for number in range(count)]
        assert len(processes.machines()) == count and len(nb.ok('ps', '-q').lines) == count
        read = list(pool.map(lambda number: nb.ok('exec', f'box{number}', 'cat', '/number', timeout=600).text, range(count)))
        assert read == [str(number) for number in range(count)]
        list(pool.map(lambda number: nb.ok('stop', '-t', '0', f'box{number}', timeout=600), range(count)))
    assert homes.new_processes() == [] and nb.ok('ps', '-q').lines == []
    nb.ok('rm', '-a')
    assert not [path for path in nb.files() if path.startswith('boxes/')]


def test_boxes_one_after_the_other_leave_nothing(homes, nb):
    nb.ok('run', '--rm', 'busybox', 'true')
    before = nb.files()
    for _ in range(rounds(3, 200)):
        box = nb.running_box()
        assert box.exec('echo', 'hello').text == 'hello'
        nb.ok('stop', '-t', '0', 'box')
        nb.ok('rm', 'box')
    assert nb.files() == before and homes.new_processes() == []
