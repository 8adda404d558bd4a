# SPDX-License-Identifier: Apache-2.0
"""stdin, stdout and stderr of an exec: every byte, in order, at the reader's pace, and an end when it is due."""
import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import time

from nestbox import rounds, wait_until

MIB = 1 << 20
EVERY_BYTE = bytes(range(256))


def resident_bytes(pid):
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(status.split('VmRSS:')[1].split()[0]) * 1024


def machine_available_bytes(box):
    """What the box's machine has left of its memory: what the agent takes is missing there."""
    return int(box.sh("awk '/^MemAvailable/ {print $2}' /proc/meminfo").text) * 1024


def test_s03_a_slow_reader_gets_everything_and_nothing_piles_up(box):
    block = os.urandom(MIB)
    assert box.sh('cat >/tmp/block', options=['-i'], input=block).code == 0
    shim = box.inspect()['shim_pid']
    shim_before, machine_before = resident_bytes(shim), machine_available_bytes(box)
    client = box.popen('sh', '-c', 'echo begin >&2; i=0; while [ $i -lt 64 ]; do cat /tmp/block; i=$((i + 1)); done; exit 3')
    assert client.stderr.readline() == b'begin\n'
    client_before = resident_bytes(client.pid)
    # The slow reader; in this time a runtime without backpressure swallows it all.
    time.sleep(rounds(2, 5))
    assert resident_bytes(client.pid) - client_before < 32 * MIB
    assert resident_bytes(shim) - shim_before < 32 * MIB
    assert machine_before - machine_available_bytes(box) < 32 * MIB
    result = box.finish(client)
    assert (result.code, len(result.out), result.err) == (3, 64 * MIB, '')
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(block * 64).digest()


def test_s04_one_unread_output_holds_up_no_other_command(box):
    client = box.popen('sh', '-c', 'echo line >&2; head -c 4194304 /dev/zero')
    assert client.stderr.readline() == b'line\n'
    for _ in range(rounds(5, 50)):
        assert box.exec('echo', 'hi').out == b'hi\n'
    assert client.poll() is None
    result = box.finish(client)
    assert (result.code, len(result.out), result.err) == (0, 4194304, '')


def test_s04_errors_can_be_read_while_output_waits(box):
    # Used to wait for ever: what had gone to stderr stood behind the output that nobody read.
    client = box.popen('sh', '-c', 'head -c 4194304 /dev/zero & sleep 1; echo line >&2; wait; echo end >&2; exit 3')
    assert client.stderr.readline() == b'line\n'
    assert box.exec('echo', 'hi').out == b'hi\n'
    result = box.finish(client)
    assert (result.code, len(result.out), result.err) == (3, 4194304, 'end\n')


def test_s05_a_background_child_that_holds_stdout_does_not_delay_the_end(box):
    # Where it does, the wait is that of the sleep.
    result = box.sh('sleep 300 & echo out; exit 5', timeout=10)
    assert (result.code, result.out) == (5, b'out\n')


def test_s05_the_background_child_lives_on(box):
    assert box.sh('(while :; do echo tick; sleep 0.1; done) & echo $! >/tmp/ticker', timeout=10).code == 0
    assert box.sh('sleep 1').code == 0 and box.lives('/tmp/ticker')
    assert box.sh('kill $(cat /tmp/ticker)').code == 0


def test_s14_stdin_reaches_the_command_with_i(box):
    result = box.exec('cat', options=['-i'], input=b'abc')
    assert (result.code, result.out) == (0, b'abc')


def test_s14_without_i_stdin_is_at_its_end_and_the_caller_s_is_untouched(box, files):
    (files / 'in').write_bytes(b'mine')
    with open(files / 'in', 'rb') as stdin:
        result = box.exec('cat', stdin=stdin)
        assert (result.code, result.out) == (0, b'')
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0


def test_s14_a_command_that_does_not_read_endless_input_ends(box):
    with open('/dev/zero', 'rb') as zero:
        assert box.exec('true', options=['-i'], stdin=zero).code == 0


def test_s14_much_goes_both_ways_at_once(box):
    sent = os.urandom(MIB) * rounds(32, 256)
    result = box.exec('cat', options=['-i'], input=sent, timeout=120)
    assert result.code == 0 and len(result.out) == len(sent)
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(sent).digest()


def test_s14_four_inputs_at_once_do_not_mix(box):
    sent = [bytes([ord('a') + i]) * (3 * MIB + i) for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda data: box.exec('cat', options=['-i'], input=data), sent))
    assert [result.code for result in results] == [0] * 4
    assert [result.out == data for result, data in zip(results, sent)] == [True] * 4


def test_s15_the_end_of_stdin_is_not_the_end_of_stdout(box):
    result = box.sh('read a; sleep 2; head -c 200000 /dev/zero | wc -c; echo $a', options=['-i'], input=b'x\n')
    assert (result.code, result.out) == (0, b'200000\nx\n')


def test_s16_every_byte_goes_through_every_stream(box):
    sent = EVERY_BYTE * 1000 + EVERY_BYTE[::-1] * 1000
    result = box.sh('tee /dev/stderr', options=['-i'], input=sent)
    assert result.code == 0 and result.out == sent and result.err_bytes == sent


def test_s16_every_byte_goes_through_arguments_and_environment(box):
    # Neither can hold a NUL; a variable's name has no equals sign, and for the command line no blank.
    word = EVERY_BYTE[1:]
    result = box.sh('cat /proc/$$/cmdline; :', word, b'', word[::-1])
    assert (result.code, result.out.split(b'\0')[4:]) == (0, [word, b'', word[::-1], b'']), result
    result = box.sh('printf "%s|%s|%s" "$1" "$2" "$3"', word, b'', word[::-1])
    assert (result.code, result.out) == (0, word + b'||' + word[::-1]), result
    variables = [b'V=' + word, b'EMPTY=', b'N' + word.translate(None, b'= \t') + b'==']
    result = box.exec('cat', '/proc/self/environ', options=[option for variable in variables for option in ('-e', variable)])
    assert result.code == 0 and set(variables) <= set(result.out.split(b'\0')), result


def test_s16_every_size_around_a_border_of_chunks_goes_through(box):
    for size in (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, (256 << 10) - 1, 256 << 10, (256 << 10) + 1):
        sent = (EVERY_BYTE * (size // 256 + 1))[:size]
        result = box.exec('cat', options=['-i'], input=sent)
        assert result.code == 0 and result.out == sent, (size, len(result.out))


def test_a_reader_that_goes_away_ends_the_client_quietly_and_its_command(box):
    client = box.popen('sh', '-c', 'echo $$ >/tmp/yes; exec yes')
    assert client.stdout.readline() == b'y\n'
    client.stdout.close()
    # communicate() would read the closed stream.
    assert client.wait(60) == 141
    assert client.stderr.read() == b''
    client.stderr.close()
    wait_until('the command is gone', lambda: not box.lives('/tmp/yes'))


def test_output_to_a_file_is_whole(box, files):
    with open(files / 'out', 'wb') as out:
        assert box.sh('head -c 3000000 /dev/zero; echo end', stdout=out).code == 0
    assert (files / 'out').read_bytes() == bytes(3000000) + b'end\n'


def test_closed_standard_streams_are_survived(box):
    words = [*box.nestbox.prefix, str(box.nestbox.argv([])[-1]), *box.argv(['sh', '-c', 'echo out; echo err >&2; exit 4'])]
    closed = subprocess.run(['sh', '-c', '"$@" <&- >&- 2>&-', 'sh', *words], env=box.nestbox.env, timeout=60, check=False)
    assert closed.returncode == 4
