#!/bin/sh
# Runs inside the image build, as root: takes from the base image what a running service never needs. What installs
# Python packages goes first, then what can give a process other rights than it has, then what is only there to be read.
set -eu

find / -xdev -depth \( -path '*/site-packages/*' -o -path '*/dist-packages/*' -o -path '*/bin/*' \) \
    \( -name pip -o -name 'pip[0-9.-]*' -o -name setuptools -o -name 'setuptools-*' -o -name pkg_resources \
    -o -name _distutils_hack -o -name wheel -o -name 'wheel-*' \) -exec rm -rf {} +
find / -xdev -depth -type d \( -name ensurepip -o -name python-wheels -o -name idlelib -o -name __pycache__ \) \
    -exec rm -rf {} +
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

rm -rf /strip.sh /root/.cache /var/cache/* /var/lib/apt/lists/* /var/log/* /tmp/* \
    /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bash-completion

# Nothing can be written when it runs: what is not compiled now is compiled again at every start.
library=$(python -c 'import os; print(os.path.dirname(os.__file__))')
python -m compileall -q -x '/(site-packages|dist-packages|test|tests|lib2to3)/' --invalidation-mode unchecked-hash "$library"

echo 'stockroom:x:10001:' >> /etc/group
echo 'stockroom:x:10001:10001:Stockroom:/tmp:/usr/sbin/nologin' >> /etc/passwd
