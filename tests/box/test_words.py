# SPDX-License-Identifier: Apache-2.0
"""Arguments, variables and names that nobody expects."""
import pytest

ODD_WORDS = [b'', b' ', b'a b', b'"', b"'", b'\\', b'$HOME', b'`id`', b'*', b'a\nb', b'\n', b'=', b'a=b=c', b'-x', b'--', b'\t\r', b'\xff\xfe',
             b'\x01\x7f', 'äöü€😀'.encode(), b'x' * 100_000]


def arguments_of(box, words, **options):
    """The words as the command got them."""
    # busybox' sh executes its last command in its own place.
    result = box.exec('sh', '-c', 'cat /proc/$$/cmdline; :', 'sh', *words, **options)
    assert result.code == 0, result
    return result.out.split(b'\0')[4:-1]


@pytest.mark.parametrize('word', ODD_WORDS, ids=lambda word: repr(word[:20]))
def test_s37_an_argument_is_passed_as_it_is(box, word):
    assert arguments_of(box, [word]) == [word]


def test_s37_all_odd_arguments_together(box):
    assert arguments_of(box, ODD_WORDS) == ODD_WORDS


@pytest.mark.parametrize('word', ODD_WORDS, ids=lambda word: repr(word[:20]))
def test_s37_a_variable_is_passed_as_it_is(box, word):
    result = box.exec('cat', '/proc/self/environ', options=['-e', b'ODD=' + word])
    assert b'ODD=' + word in result.out.split(b'\0'), result


def test_s37_five_thousand_variables(box, files):
    variables = [f'VARIABLE_{i}=value {i}' for i in range(5000)]
    (files / 'env').write_text('\n'.join(variables))
    result = box.exec('cat', '/proc/self/environ', options=['--env-file', str(files / 'env')])
    assert result.code == 0 and set(variables) <= set(result.out.decode().split('\0')), result


def test_s37_more_than_a_mebibyte_of_arguments_is_passed(box):
    words = [bytes([ord('a') + i]) * 100_000 for i in range(16)]
    assert arguments_of(box, words) == words


def test_s37_more_than_the_guest_s_kernel_takes_is_refused_by_name(box, files):
    (files / 'env').write_text('\n'.join(f'V{i}={"y" * 100_000}' for i in range(8)))
    result = box.exec('true', *(b'x' * 100_000 for _ in range(14)), options=['--env-file', str(files / 'env')])
    assert (result.code, result.out) == (126, b'') and 'Argument list too long' in result.err, result
    assert box.exec('echo', 'hi').out == b'hi\n'


def test_s37_nothing_of_it_is_on_the_kernel_s_command_line(nb):
    words = ['run', '--rm', '-e', b'ODD=\xff\n"secret"', 'busybox', 'sh', '-c', 'cat /proc/$$/cmdline /proc/self/environ; cat /proc/cmdline',
             'sh', b'\xffsecret argument\n']
    result = nb.ok(*words)
    assert result.out.count(b'\xff\n"secret"') == 1 and result.out.count(b'\xffsecret argument\n') == 1
    assert b'secret' not in result.out.rpartition(b'\0')[2]


@pytest.mark.parametrize('name', ['../x', '-x', '', 'ü', 'a/b', 'a b', '.', '..', '.hidden', '_x', 'a\nb', 'x' * 129, 'a;b', "a'b", 'a:b'])
def test_s39_a_name_that_is_none_is_refused(nb, name):
    result = nb.run('create', '--name', name, 'busybox', 'true')
    assert result.code in (1, 2) and result.out == b'', result
    assert result.err.startswith('nestbox: create: ') and 'name' in result.err, result
    assert nb.boxes() == []


@pytest.mark.parametrize('name', ['a', '0', 'A.b_c-d', 'x' * 128, '12.5'])
def test_s39_a_good_name_is_taken(nb, name):
    nb.ok('create', '--name', name, 'busybox', 'true')
    assert nb.inspect(name)['name'] == name
    assert nb.ok('rm', name).text == name


def test_s39_a_name_that_is_another_box_s_id_prefix_is_refused_or_unambiguous(nb):
    id = nb.ok('create', 'busybox', 'true').text
    for name in (id[:4], id):
        created = nb.run('create', '--name', name, 'busybox', 'true')
        found = nb.run('inspect', name)
        if created.code == 0 and found.code == 0:
            assert nb.inspect(name)['name'] == name, found
        assert nb.inspect(id)['id'] == id or nb.inspect(id)['name'] == id


def test_s39_an_ambiguous_prefix_is_refused(nb):
    # More boxes than there are first letters.
    ids = [nb.ok('create', 'busybox', 'true').text for _ in range(33)]
    letters = [id[0] for id in ids]
    twice = next(letter for letter in letters if letters.count(letter) > 1)
    result = nb.run('rm', twice)
    assert result.code == 1 and f"'{twice}'" in result.err and len(nb.boxes()) == 33, result


@pytest.mark.parametrize('box_name', ['../x', '', '.', 'a/b', '%s%n', "' OR 1=1 --", '_', '%'])
def test_s39_odd_words_find_no_box(nb, box_name):
    nb.ok('create', '--name', 'b', 'busybox', 'true')
    for command in (['inspect'], ['stop'], ['rm', '-f'], ['logs']):
        result = nb.run(*command, '--', box_name)
        assert result.code == 1, result
    assert len(nb.boxes()) == 1


def test_a_terminal_is_safe_from_what_a_user_names(nb):
    result = nb.run('inspect', 'a\x1b[31mb')
    assert result.code == 1 and '\x1b' not in result.err, result
