# SPDX-License-Identifier: Apache-2.0
"""The public headers compile alone, in the oldest C and in C++, without a warning."""
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
HEADERS = sorted(path.name for path in (ROOT / 'include' / 'nestbox').glob('*.h'))
COMPILERS = [('gcc', 'c', 'c99'), ('clang', 'c', 'c99'), ('gcc', 'c', 'c2x'), ('g++', 'c++', 'c++11'), ('clang++', 'c++', 'c++11'),
             ('g++', 'c++', 'c++20')]

# What an embedder writes: the _INIT macros are part of the header.
USE = '''
int use(void);
int use(void) {
    nb_runtime_options runtime = NB_RUNTIME_OPTIONS_INIT;
    nb_box_options box = NB_BOX_OPTIONS_INIT;
    nb_start_options start = NB_START_OPTIONS_INIT;
    nb_exec_options exec = NB_EXEC_OPTIONS_INIT;
    return runtime.size + box.size + start.size + exec.size > 0 && nb_version() ? NB_E_INVALID : 0;
}
'''


def compile_text(compiler, language, standard, text):
    if not shutil.which(compiler):
        pytest.skip(f'{compiler} is not installed')
    # Designated initialisers came to C++ with C++20; both compilers take them before, and say so only when asked to be pedantic.
    forgiven = {'g++': ['-Wno-pedantic'], 'clang++': ['-Wno-c++20-designator']}.get(compiler, []) if 'INIT' in text else []
    return subprocess.run([compiler, '-x', language, f'-std={standard}', '-Wall', '-pedantic', '-Werror', *forgiven,
                           '-fsyntax-only', '-I', ROOT / 'include', '-'], input=text, capture_output=True, text=True)


@pytest.mark.parametrize('header', HEADERS)
@pytest.mark.parametrize('compiler, language, standard', COMPILERS)
def test_a_header_needs_no_other_before_it(compiler, language, standard, header):
    result = compile_text(compiler, language, standard, f'#include <nestbox/{header}>\n#include <nestbox/{header}>\nextern int used;\n')
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('compiler, language, standard', COMPILERS)
def test_options_are_initialised_without_a_warning(compiler, language, standard):
    result = compile_text(compiler, language, standard, f'#include <nestbox/nestbox.h>\n{USE}')
    assert (result.returncode, result.stderr) == (0, '')
