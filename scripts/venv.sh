#!/bin/sh
# Make a virtual environment: venv.sh FOLDER PYTHON. Debian splits venv off; root gets it installed.
set -eu
folder=$1 python=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "codegen25 needs Python 3.11 or newer as $python; name one with make PYTHON=..." >&2
    exit 2
fi
"$folder/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    else
        echo "$python has no venv; install it first (Debian, Ubuntu: apt install python3-venv)" >&2
        exit 2
    fi
fi
"$python" -m venv --clear "$folder"
