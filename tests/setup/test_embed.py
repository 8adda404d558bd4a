# SPDX-License-Identifier: Apache-2.0
"""tools/embed embeds the program it is given, whole, with its digest, and nothing for another machine."""
import hashlib
import pathlib
import re
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
X86_64, AARCH64, I386, S390 = 62, 183, 3, 22


def elf(machine, order='<', length=200):
    """The head of an ELF program, elf(5), and bytes that are no text."""
    head = b'\x7fELF' + bytes([2, 1 if order == '<' else 2, 1, 0]) + bytes(8) + struct.pack(order + 'HHI', 3, machine, 1)
    return head + bytes(range(256))[:length - len(head)]


def embed(tmp_path, content, machine='x86_64'):
    program, output = tmp_path / 'helper', tmp_path / 'out.c'
    program.write_bytes(content)
    result = subprocess.run([ROOT / 'tools' / 'embed', '--machine', machine, '--symbol', 'embedded_helper', program, output],
                            capture_output=True, text=True)
    return result, output


@pytest.mark.parametrize('machine, number', [('x86_64', X86_64), ('aarch64', AARCH64)])
def test_the_digest_and_length_are_the_programs(tmp_path, machine, number):
    content = elf(number)
    result, output = embed(tmp_path, content, machine)
    assert (result.returncode, result.stderr) == (0, '')
    text = output.read_text()
    assert re.findall(r'\.sha256 = "([^"]*)"', text) == [hashlib.sha256(content).hexdigest()]
    assert re.findall(r'\.length = (\d+)u', text) == [str(len(content))]
    assert re.findall(r'\.name = "([^"]*)"', text) == ['helper']


def test_what_is_compiled_in_is_the_program_byte_for_byte(tmp_path):
    content = elf(X86_64, length=213)
    result, output = embed(tmp_path, content)
    assert result.returncode == 0, result.stderr
    output.write_text(output.read_text() + '''
#include <stdio.h>
int main(void) {
    return fwrite(embedded_helper.bytes, 1, embedded_helper.length, stdout) != embedded_helper.length;
}
''')
    subprocess.run(['gcc', '-I', ROOT / 'src', '-I', ROOT / 'include', output, '-o', tmp_path / 'printer'], check=True)
    assert subprocess.run([tmp_path / 'printer'], check=True, capture_output=True).stdout == content


@pytest.mark.parametrize('content, machine, says', [
    (elf(AARCH64), 'x86_64', 'is for aarch64, not for x86_64'),
    (elf(X86_64), 'aarch64', 'is for x86_64, not for aarch64'),
    (elf(I386), 'x86_64', 'is for ELF machine 3, not for x86_64'),
    (elf(S390, order='>'), 'x86_64', 'is for ELF machine 22, not for x86_64'),
    (elf(X86_64, order='>'), 'aarch64', 'is for x86_64, not for aarch64'),
    (b'#!/bin/sh\nexit 0\n', 'x86_64', 'is no ELF program'),
    (b'', 'x86_64', 'is no ELF program'),
    (elf(X86_64)[:63], 'x86_64', 'is no ELF program'),
    (b'\x00' + elf(X86_64)[1:], 'x86_64', 'is no ELF program'),
])
def test_another_machines_program_or_none_at_all_is_refused(tmp_path, content, machine, says):
    result, output = embed(tmp_path, content, machine)
    assert result.returncode == 1
    assert result.stderr == f"embed: '{tmp_path / 'helper'}' {says}\n"
    assert not output.exists()


def test_a_program_that_is_not_there_leaves_no_output(tmp_path):
    output = tmp_path / 'out.c'
    result = subprocess.run([ROOT / 'tools' / 'embed', '--machine', 'x86_64', '--symbol', 'x', tmp_path / 'none', output],
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert not output.exists()
