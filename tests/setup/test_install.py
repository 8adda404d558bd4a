# SPDX-License-Identifier: Apache-2.0
"""make install: what is installed is found by compilers, manuals and shells, and works where it was put."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LOCAL = 'usr/local'
LIBRARIES = f'{LOCAL}/lib/{os.uname().machine}-linux-gnu'


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.PIPE, text=True, timeout=120, **options).stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The root of a file system with nothing else in it."""
    root = tmp_path_factory.mktemp('installed')
    run('make', '-C', ROOT, 'install', env=os.environ | {'DESTDIR': str(root)}, stderr=subprocess.STDOUT)
    return root


def package(installed, *options):
    where = {'PKG_CONFIG_LIBDIR': str(installed / LIBRARIES / 'pkgconfig') + ':/usr/lib/x86_64-linux-gnu/pkgconfig',
             'PKG_CONFIG_SYSROOT_DIR': str(installed)}
    words = run('pkg-config', *options, 'nestbox', env=os.environ | where).split()
    # Other packages are where they always are.
    return [word for word in words if not word.startswith((f'-I{installed}/usr/include', f'-L{installed}/usr/lib'))]


def exported(*nm):
    """Names that a program which links it can see, without those of sections and versions."""
    return {line.split()[-1].split('@')[0] for line in run('nm', *nm).splitlines() if re.search(r' [TDBRV] ', line)}


def declared(installed):
    headers = ''.join(path.read_text() for path in (installed / LOCAL / 'include/nestbox').glob('*.h'))
    return set(re.findall(r'NB_API [^;(]*?\b(nb_\w+)\(', headers))


def hello(program, tmp_path, **env):
    """Runs the example in a real box."""
    result = subprocess.run([program, 'sh', '-c', 'echo hello; exit 3'], stdout=subprocess.PIPE, timeout=120, check=False,
                            env={'PATH': os.environ['PATH'], 'NESTBOX_HOME': str(tmp_path / 'home'), 'HOME': str(tmp_path)} | env)
    return result.returncode, result.stdout


@pytest.mark.parametrize('compiler,language,standard', [('gcc', 'c', 'c99'), ('clang', 'c', 'c11'), ('g++', 'c++', 'c++11')])
def test_each_header_stands_by_itself(installed, tmp_path, compiler, language, standard):
    for header in (installed / LOCAL / 'include/nestbox').glob('*.h'):
        source = tmp_path / f'one.{language}'
        source.write_text(f'#include <nestbox/{header.name}>\nint main(void) {{ return 0; }}\n')
        run(compiler, '-x', language, f'-std={standard}', '-Wall', '-Wextra', '-Werror', '-pedantic', '-fsyntax-only', *package(installed, '--cflags'), source)


def test_the_shared_library_has_what_the_headers_declare_and_nothing_else(installed):
    library = installed / LIBRARIES / 'libnestbox.so'
    assert exported('-D', '--defined-only', library) - {'NESTBOX_0'} == declared(installed)
    assert '[libnestbox.so.0]' in run('readelf', '-d', library)


def test_the_static_library_has_the_same_names(installed):
    assert exported('-g', '--defined-only', installed / LIBRARIES / 'libnestbox.a') == declared(installed)


def test_a_program_finds_the_shared_library(installed, tmp_path):
    program = tmp_path / 'run'
    run('cc', ROOT / 'examples/run.c', '-o', program, *package(installed, '--cflags', '--libs'))
    assert hello(program, tmp_path, LD_LIBRARY_PATH=str(installed / LIBRARIES)) == (3, b'hello\n')


def test_a_program_can_have_the_library_in_it(installed, tmp_path):
    program = tmp_path / 'run'
    words = [word if word != '-lnestbox' else '-l:libnestbox.a' for word in package(installed, '--cflags', '--libs', '--static')]
    # A program's own names do not get in the way of the library's.
    (tmp_path / 'own.c').write_text('int buf_init(void) { return 1; }\nint log_write(void) { return 2; }\n')
    run('cc', ROOT / 'examples/run.c', tmp_path / 'own.c', '-o', program, *words)
    assert 'libnestbox' not in run('ldd', program)
    assert hello(program, tmp_path, NESTBOX_GUEST_DIR=str(installed / LIBRARIES / 'nestbox/guest')) == (3, b'hello\n')


def test_the_installed_program_runs_a_box(installed, tmp_path):
    env = {'PATH': os.environ['PATH'], 'HOME': str(tmp_path), 'LD_LIBRARY_PATH': str(installed / LIBRARIES)}
    assert run(installed / LOCAL / 'bin/nestbox', 'run', '--rm', 'busybox', 'echo', 'hello', env=env) == 'hello\n'


def test_the_guest_s_programs_come_with_their_licences(installed):
    guest = installed / LIBRARIES / 'nestbox/guest'
    assert 'GNU General Public License' in (guest / 'linux.copyright').read_text()
    assert 'GPL' in (guest / 'busybox.copyright').read_text()


def test_manuals_and_completions_are_where_they_are_looked_for(installed):
    share = installed / LOCAL / 'share'
    for page in ('man1/nestbox.1', 'man1/nestbox-run.1', 'man3/libnestbox.3', 'man7/nestbox.7'):
        assert (share / 'man' / page).stat().st_size > 1000
    for file in ('bash-completion/completions/nestbox.bash', 'zsh/vendor-completions/_nestbox', 'fish/vendor_completions.d/nestbox.fish'):
        assert 'nestbox' in (share / file).read_text()
