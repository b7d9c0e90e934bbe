#!/bin/sh
# Run a command with a real Secret Service: an empty, unlocked GNOME Keyring on its own message bus.
#
#   .ci/with-secret-service.sh uv run pytest tests/keys/test_secret_service.py
#
# Needs the packages dbus and gnome-keyring.
# Exits with the command's status, or with 69 if the service does not start.
set -eu

if [ "${1:-}" != --on-own-bus ]; then
    for program in dbus-run-session gnome-keyring-daemon; do
        command -v "$program" >/dev/null || { echo "$0: $program is not installed" >&2; exit 69; }
    done
    exec dbus-run-session -- "$0" --on-own-bus "$@"
fi
shift

# The keyring's files go into a temporary folder. The command keeps its own HOME.
folder=$(mktemp -d)
daemon=
trap 'kill "$daemon" 2>/dev/null || true; rm -rf "$folder"' EXIT
printf 'test' | XDG_DATA_HOME=$folder XDG_CACHE_HOME=$folder XDG_RUNTIME_DIR=$folder \
    gnome-keyring-daemon --unlock --foreground --components=secrets >"$folder/log" 2>&1 &
daemon=$!

# The service is ready when it owns the bus name. A request before that would start a second, locked one.
service_is_up() {
    dbus-send --session --print-reply --dest=org.freedesktop.DBus /org/freedesktop/DBus \
        org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets 2>/dev/null | grep -q 'boolean true'
}
tries=100
until service_is_up; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
        echo "$0: the Secret Service did not start:" >&2
        cat "$folder/log" >&2
        exit 69
    fi
    sleep 0.1
done

SUPERNOVA_TEST_SECRET_SERVICE=1 "$@"
