#!/usr/bin/env bash
# Creation and repair of the virtual environment for the Makefile: scripts/environment.sh VENV EXTRAS [PYTHON]
#
# Exit code 0: VENV holds the package (editable) with EXTRAS at the versions of constraints.txt.
# VENV/.incomplete exists from the first step to the last, so an interrupted installation starts from an empty folder.
set -euo pipefail

venv=$1 extras=$2 python=${3:-}
supported="3.11 3.13" # pocketsphinx 5.1 has wheels for these two alone; every other package has them, too

fail() { printf 'make: %s\n' "$@" >&2; exit 1; }
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
is_supported() { [[ " $supported " == *" $1 "* ]]; }

choose_python() {
    local candidate given wheels="pocketsphinx has wheels for Python ${supported// / and } only"
    if [[ -n $python ]]; then
        given=$(version "$python")
        [[ -n $given ]] || fail "PYTHON=$python does not start. Name a Python ${supported// / or }: make PYTHON=/path/to/python3.11"
        is_supported "$given" || fail "PYTHON=$python is Python $given, but $wheels. Name one of these: make PYTHON=python3.11"
        return
    fi
    for candidate in python3.11 python3.13 python3; do
        if is_supported "$(version "$candidate")"; then
            python=$candidate
            return
        fi
    done
    given=$(version python3)
    fail "no supported Python on PATH: python3 is ${given:-absent}, and $wheels." \
        "Install one (apt install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11"
}

is_healthy() { # an unfinished or damaged environment is not repaired in place: half-installed packages would stay
    [[ ! -e $venv/.incomplete ]] || return 1
    local present
    present=$(version "$venv/bin/python")
    is_supported "$present" || return 1
    [[ -z $python || $present == "$(version "$python")" ]] || return 1
    command -v uv >/dev/null || "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

remove_venv() { # never a folder that this script or the venv module did not make
    [[ -e $venv ]] || return 0
    [[ -e $venv/pyvenv.cfg || -e $venv/.incomplete || -z $(ls -A "$venv") ]] ||
        fail "$venv exists and is no virtual environment. Remove it, or name another folder: make VENV=.venv-2"
    rm -rf "$venv"
}

create_venv() {
    choose_python
    mkdir -p "$venv"
    touch "$venv/.incomplete"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        fail "$python cannot create virtual environments: its venv module is incomplete." \
            "On Debian and Ubuntu: apt install python$(version "$python")-venv; then run make again"
    fi
}

size() { # measured on Linux x86-64; the time depends on the network
    if [[ ,$extras, == *,all,* ]]; then echo "about 9 GB on disk, 15 to 30 minutes"; else echo "about 1.2 GB on disk, 1 to 5 minutes"; fi
}

install_package() {
    local quiet=()
    [[ -t 1 ]] || quiet=(-q) # a terminal shows the installer's own progress; a log does not
    if command -v uv >/dev/null; then
        uv pip install "${quiet[@]}" --python "$venv/bin/python" -c constraints.txt -e ".[$extras]"
    else
        "$venv/bin/python" -m pip install "${quiet[@]}" --disable-pip-version-check -c constraints.txt -e ".[$extras]"
    fi
}

[[ -z $python ]] || choose_python
if ! is_healthy; then
    [[ ! -e $venv ]] || echo "make: $venv is incomplete, damaged or of another Python version; creating it again"
    remove_venv
    create_venv
fi
touch "$venv/.incomplete"
echo "make: installing speechprep [$extras] with Python $(version "$venv/bin/python") into $venv: $(size)"
started=$SECONDS
install_package || fail "the installation failed; the lines above give the cause. Run the same command again to start over"
rm -f "$venv/.incomplete"
echo "make: $venv is ready after $((SECONDS - started)) s"
