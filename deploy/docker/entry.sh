#!/bin/sh
# The service's command, by the name under which it is called. Where STOCKROOM_POSTGRES_URL_FILE, or the same of
# RABBITMQ or REDIS, names a file, the URL is read from it, so that no password need stand in the environment that the
# engine shows. A URL that is given itself goes first.
set -eu

for setting in STOCKROOM_POSTGRES_URL STOCKROOM_RABBITMQ_URL STOCKROOM_REDIS_URL; do
    eval "given=\${$setting:-} file=\${${setting}_FILE:-}"
    if [ -z "$given" ] && [ -n "$file" ]; then
        url=$(cat "$file")
        export "$setting=$url"
    fi
done
exec "/app/bin/${0##*/}" "$@"
