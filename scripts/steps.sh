# Sourced by the scripts beside it: where things are, and how a step is announced, shown and logged.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
logs="$root/.build/logs"
cd "$root" || exit 1

if [ -t 1 ] && [ -z "${CI:-}" ]; then
    interactive=1 bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'
else
    interactive='' bold='' red='' plain=''
fi

say() { printf '%s\n' "${bold}$*${plain}"; }

die() {
    printf '%s\n' "${red}$*${plain}" >&2
    exit 1
}

# Shows a long command's output without drowning the reader: on a terminal the last line, rewritten in place;
# elsewhere one line every ten seconds. Lines that matter (warnings, errors, results) are always printed.
progress() {
    local line next=$SECONDS width
    width=$(($(tput cols 2>/dev/null || echo 100) - 1))
    while IFS= read -r line || [ -n "$line" ]; do
        if [[ $line == *warning:* || $line == *error:* || $line == *"Test run with"* || $line == *"recorded an issue"* ]]; then
            [ -n "$interactive" ] && printf '\r\e[K'
            printf '%s\n' "$line"
        elif [ -n "$interactive" ]; then
            printf '\r\e[K%s' "${line:0:width}"
        elif ((SECONDS >= next)); then
            printf '    %s\n' "${line:0:160}"
            next=$((SECONDS + 10))
        fi
    done
    [ -n "$interactive" ] && printf '\r\e[K'
    return 0
}

# step NAME COMMAND...: runs the command with everything it prints in a log of that name; on failure says where the log is.
step() {
    local name=$1 start=$SECONDS status
    shift
    mkdir -p "$logs"
    say "== $name"
    # Inside a condition `set -e` does not act, also not in a function given as the command: such a function checks for itself.
    if "$@" 2>&1 | tee "$logs/$name.log" | progress; then
        status=0
    else
        status=${PIPESTATUS[0]}
    fi
    if ((status != 0)); then
        printf '%s\n' "${red}== $name failed (status $status) after $((SECONDS - start)) s; the end of its log:${plain}" >&2
        tail -n 40 "$logs/$name.log" >&2
        printf '%s\n' "${red}The whole log: $logs/$name.log${plain}" >&2
        return "$status"
    fi
    printf '   %s: done in %d s\n' "$name" "$((SECONDS - start))"
}
