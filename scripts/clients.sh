#!/bin/sh
# The clients that tests drive: sh scripts/clients.sh VENV
# What can't be installed is said; its tests are skipped with the reason.
set -u
venv=$1
"$venv/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt -e '.[clients]' ||
    echo 'clients: the Python clients could not be installed'
"$venv/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt 'lm-eval[api]' ||
    echo 'clients: lm-eval could not be installed'
"$venv/bin/python" -m codegen25.serve.triton_environment >/dev/null ||
    echo "clients: Triton's environment could not be made"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq || true
    for package in vim-nox neovim emacs-nox elpa-eglot curl chromium nodejs npm; do
        dpkg -s "$package" >/dev/null 2>&1 ||
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "clients: Debian's $package could not be installed"
    done
else
    echo 'clients: not root, or no apt-get: editors and a browser are used if they are there'
fi
if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$venv/tabby-agent" \
        tabby-agent@1.5.0 >/dev/null 2>&1 || echo 'clients: tabby-agent could not be installed'
fi
