# SPDX-License-Identifier: Apache-2.0
"""help, version, info, options: how the program talks with whoever types."""
import re

import pytest

COMMANDS = ['run', 'create', 'start', 'stop', 'rm', 'exec', 'ps', 'inspect', 'logs', 'images', 'image inspect', 'import', 'load', 'rmi', 'info',
            'version', 'help']
# Whose status is that of a command in a box, so that wrong usage must not look like one of it.
WITH_OWN_STATUS = ('run', 'exec')


def test_help_lists_every_command(nb):
    result = nb.ok('help')
    assert [command for command in COMMANDS if not re.search(f'^  {command} +[A-Z]', result.text, re.M)] == [] and result.err == ''
    assert nb.ok('--help').out == result.out


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_help_with_an_example(nb, command):
    result = nb.ok(*command.split(), '--help')
    assert result.text.startswith(f'Usage: nestbox {command}') and '\nExample:\n  nestbox ' in result.text and result.err == '', result
    assert nb.ok('help', *command.split()).out == result.out
    assert not nb.home.exists()


def test_help_tells_defaults(nb):
    assert '(default: 256m)' in nb.ok('run', '--help').text


@pytest.mark.parametrize('words', [['nosuch'], ['image', 'nosuch'], ['help', 'nosuch']])
def test_an_unknown_command_is_2_and_named(nb, words):
    result = nb.run(*words)
    assert (result.code, result.out) == (2, b'') and 'hint: nestbox help' in result.err, result
    assert words[0] in result.err or words[1] in result.err


def test_without_a_command_help_goes_to_stderr(nb):
    result = nb.run()
    assert (result.code, result.out) == (2, b'') and result.err.startswith('Usage: nestbox '), result


@pytest.mark.parametrize('command', COMMANDS)
def test_an_unknown_option_is_named_with_the_way_to_help(nb, command):
    result = nb.run(*command.split(), '--nosuch')
    assert (result.code, result.out) == (125 if command in WITH_OWN_STATUS else 2, b''), result
    assert result.err == f"nestbox: {command}: unknown option '--nosuch'\nhint: nestbox {command} --help\n"


@pytest.mark.parametrize('words,code', [(['run'], 125), (['exec', 'b'], 125), (['exec'], 125), (['create'], 2), (['start'], 2), (['stop'], 2),
                                        (['rm'], 2), (['rmi'], 2), (['import', 'x'], 2), (['image', 'inspect'], 2), (['version', 'x'], 2),
                                        (['start', '-a'], 125), (['info', 'x'], 2), (['images', 'x'], 2), (['load', 'x'], 2)])
def test_a_wrong_number_of_arguments(nb, words, code):
    result = nb.run(*words)
    assert (result.code, result.out) == (code, b'') and 'hint: ' in result.err, result


@pytest.mark.parametrize('words', [['version'], ['--version']])
def test_version(nb, words):
    assert re.fullmatch(r'nestbox \d+\.\d+\.\d+\n', nb.ok(*words).out.decode())


def test_info_tells_what_would_be_used_and_why(nb):
    info = nb.json('info', '--format', 'json')
    assert info['version'] == nb.ok('version').text.removeprefix('nestbox ')
    assert info['home'] == str(nb.home) and info['accelerator'] in ('kvm', 'tcg') and info['accelerator_reason']
    assert info['qemu'].startswith('/') and info['kernel'].startswith('/') and info['kernel_version']
    assert (info['boxes'], info['boxes_running'], info['images']) == (0, 0, 0)
    nb.ok('create', 'busybox', 'true')
    info = nb.json('info', '--format', 'json')
    assert (info['boxes'], info['boxes_running'], info['images']) == (1, 0, 1)
    assert f'home: {nb.home}\n' in nb.ok('info').out.decode()


@pytest.mark.parametrize('words,named', [(['--accel', 'hvf', 'ps'], 'hvf'), (['--log-level', 'loud', 'ps'], 'loud'), (['--nosuch', 'ps'], '--nosuch'),
                                         (['--url', 'http://x', 'ps'], '--url'), (['--home'], '--home')])
def test_a_wrong_global_option_is_2(nb, words, named):
    result = nb.run(*words)
    assert (result.code, result.out) == (2, b'') and named in result.err and result.err.startswith('nestbox: '), result


def test_a_remote_that_is_not_supported_is_not_ignored(nb):
    result = nb.run('ps', env={'NESTBOX_URL': 'http://127.0.0.1:1'})
    assert result.code == 1 and 'NESTBOX_URL' in result.err, result


def test_debug_tells_decisions_on_stderr_only(nb):
    result = nb.ok('--debug', 'create', '--name', 'b', 'busybox', 'true')
    assert re.search('^nestbox: (debug|info): ', result.err, re.M) and re.fullmatch('[a-z2-7]{12}', result.text), result
    assert nb.ok('rm', 'b').err == ''


def test_an_accelerator_can_be_chosen(nb):
    assert nb.json('--accel', 'tcg', 'info', '--format', 'json')['accelerator'] == 'tcg'
    assert nb.ok('--accel', 'tcg', 'run', '--rm', 'busybox', 'echo', 'hi').out == b'hi\n'


def test_a_full_standard_output_is_told(nb):
    with open('/dev/full', 'wb') as full:
        result = nb.run('version', stdout=full)
    assert result.code == 1 and 'No space left' in result.err, result
