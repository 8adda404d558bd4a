# SPDX-License-Identifier: Apache-2.0
"""The last line of ./dev test can be believed."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def summary(tmp_path):
    """Runs the tool, in a tree where tests/expected-skips lists one skip, over files of the given contents."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tests').mkdir()
    tool = shutil.copy(ROOT / 'tools' / 'test-summary', tmp_path / 'tools')
    (tmp_path / 'tests' / 'expected-skips').write_text('# listed\nbox.test_kvm.*: no KVM on the machines that check changes\n')

    def run(files, ci=False):
        paths = []
        for name, text in files.items():
            paths.append(tmp_path / name)
            if text is not None:
                paths[-1].write_text(text)
        environment = {**os.environ, 'CI': 'true' if ci else ''}
        return subprocess.run([tool, *paths], capture_output=True, text=True, env=environment)
    return run


def meson_log(**results):
    return ''.join(json.dumps({'name': name, 'result': result}) + '\n' for name, result in results.items())


def junit(cases):
    return f'<testsuites><testsuite>{cases}</testsuite></testsuites>'


PASS = '<testcase classname="box.test_run" name="prints"/>'
FAIL = '<testcase classname="box.test_run" name="ends"><failure message="assert 1 == 2&#10;more">trace</failure></testcase>'
ERROR = '<testcase classname="box.test_run" name="starts"><error message="no home"/></testcase>'
SKIP = '<testcase classname="box.test_run" name="fast"><skipped message="slow machine"/></testcase>'
LISTED_SKIP = '<testcase classname="box.test_kvm" name="boots[1]"><skipped message="no KVM"/></testcase>'


def test_both_runners_are_added_up(summary):
    result = summary({'log.json': meson_log(buf='OK', fd='OK'), 'pytest.xml': junit(PASS + SKIP)})
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == '3 passed, 0 failed, 1 skipped'


def test_failures_of_every_kind_count_and_are_named(summary):
    result = summary({'log.json': meson_log(buf='FAIL', fd='TIMEOUT', id='ERROR', odd='NEWKIND'), 'pytest.xml': junit(PASS + FAIL + ERROR)})
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == '1 passed, 6 failed, 0 skipped'
    assert 'failed: box.test_run.ends: assert 1 == 2\n' in result.stdout


@pytest.mark.parametrize('text', [None, '', '<testsuites>', junit('')])
def test_results_that_are_not_there_are_a_failure(summary, text):
    result = summary({'log.json': meson_log(buf='OK'), 'pytest.xml': text})
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == '1 passed, 1 failed, 0 skipped'


def test_in_ci_a_skip_that_nobody_listed_is_a_failure(summary):
    assert summary({'pytest.xml': junit(PASS + SKIP)}, ci=True).returncode == 1
    assert summary({'pytest.xml': junit(PASS + SKIP)}).returncode == 0


def test_in_ci_a_listed_skip_is_none(summary):
    result = summary({'pytest.xml': junit(PASS + LISTED_SKIP)}, ci=True)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, '1 passed, 0 failed, 1 skipped')
