#!/usr/bin/env bash
# Tests deploy/collect-logs.sh against real rsync processes. A fake `ssh` on PATH runs the far
# end's command on this machine, so every byte takes the way it takes in production, but no
# network is needed.
#
# After each pull an observer checks the promise the follower relies on: a local file, known by
# its inode, still begins with all the bytes it had before, and a line once shown is never
# changed. At the end of a case the lines in the tree are compared with the lines written.
#
#   tests/collect_logs.sh [CASE...]      GATEWATCH_SEEDS=200 for a longer random test
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly collect=$here/../deploy/collect-logs.sh
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
mkdir "$scratch/bin"
export PATH=$scratch/bin:$PATH
unset RSYNC_RSH

# The fake far end: `down*` is unreachable; with a `cut-after` file the connection dies after so
# many bytes; a `meanwhile` script runs on the server after the folder was listed.
cat >"$scratch/bin/ssh" <<'FAKE'
#!/usr/bin/env bash
set -u
printf '%s\n' "$*" >>"$FAKE_SSH/calls"
while (($#)); do
    case $1 in
    -o | -l) shift 2 ;;
    -*) shift ;;
    *) break ;;
    esac
done
host=${1#*@}
shift
if [[ $host == down* ]]; then
    printf 'ssh: connect to host %s: \033[31mConnection refused\n' "$host" >&2
    exit 255
fi
if [[ -f $FAKE_SSH/cut-after ]]; then
    # Passes each byte on at once, where head would hold back what the other side waits for; and
    # waits for a full socket, where dd would fail.
    exec 3<&0
    perl -e '
        my ($left, $bytes) = @ARGV;
        while ($left > 0 && sysread(STDIN, $bytes, $left < 4096 ? $left : 4096)) {
            $left -= length $bytes;
            while (length $bytes) {
                my $sent = syswrite(STDOUT, $bytes);
                if (defined $sent) { substr($bytes, 0, $sent) = "" }
                elsif ($!{EAGAIN}) { vec(my $out = "", 1, 1) = 1; select(undef, $out, undef, undef) }
                else { exit 1 }
            }
        }' "$(cat "$FAKE_SSH/cut-after")" < <("$@" <&3)
    # The far end is not waited for: it learns of the break when our side of the socket closes.
    exit 255
fi
exec "$@"
FAKE
chmod +x "$scratch/bin/ssh"

fail() {
    printf 'FAILED: %s: %s\n' "$case_name" "$*" >&2
    [[ ! -s $root/output ]] || sed 's/^/  | /' "$root/output" >&2
    [[ ! -d $root/dest ]] || find "$root/dest" -type f -printf '  %i %s %P\n' | sort -k3 >&2
    exit 1
}

# A fresh server folder, tree and observer for one case.
begin() {
    case_name=$1
    root=$scratch/$1
    mkdir -p "$root/log" "$root/seen" "$root/fake"
    export FAKE_SSH=$root/fake
    log=$root/log tree=$root/dest/web1$root/log
    printf 'collector@web1:%s # the first server\n\n# nothing else\n' "$log" >"$root/hosts"
    serial=0
    : >"$root/written"
}

# Appends `$2` whole lines, each unlike any other, to the server's file `$1`.
write() {
    local i
    for ((i = 0; i < ${2:-3}; i++)); do
        serial=$((serial + 1))
        printf '192.0.2.%d - - [20/Nov/2026:07:00:00 +0000] "GET /%d HTTP/1.1" 200 %d\n' $((serial % 250)) "$serial" "$serial"
    done | tee -a "$log/$1" >>"$root/written"
    serial=$(wc -l <"$root/written")
}

pull_status() {
    local status=0
    bash "$collect" --hosts "$root/hosts" --dest "$root/dest" --verbose "$@" >"$root/output" 2>&1 || status=$?
    printf '%s' "$status"
}

pull() {
    local status
    status=$(pull_status "$@")
    ((status == 0)) || fail "the pull ended with exit code $status"
    observe
}

# The follower's view: every file seen before, found again by inode, has only grown.
observe() {
    local path inode
    for path in "$tree"/*; do
        [[ -f $path && $path != *.gz ]] || continue
        inode=$(stat -c %i "$path")
        if [[ -f $root/seen/$inode ]]; then
            cmp -s -n "$(stat -c %s "$root/seen/$inode")" "$root/seen/$inode" "$path" || fail "$path was rewritten in place"
        fi
        cp "$path" "$root/seen/$inode"
        if [[ $(tail -c 1 "$path" | wc -l) -ne 1 && -z ${unfinished_allowed:-} ]]; then fail "$path ends within a line"; fi
    done
}

# Every line written is in the tree, once.
expect_all_lines() {
    local path
    for path in "$tree"/*; do
        if [[ $path == *.gz ]]; then gzip -dc "$path"; else cat "$path"; fi
    done | sort >"$root/collected"
    sort "$root/written" >"$root/expected"
    cmp -s "$root/collected" "$root/expected" || {
        diff "$root/expected" "$root/collected" | sed -n 1,5p >&2 || true
        fail "the tree does not hold each written line once"
    }
}

expect_names() {
    local names
    names=$(cd "$tree" && echo *)
    [[ $names == "$*" ]] || fail "expected the files '$*', found '$names'"
}

inode_of() { stat -c %i "$tree/$1"; }

case_first_pull() {
    write access.log 5
    write access.log.1 4
    write error.log 2
    write access.log.2 3 && gzip "$log/access.log.2"
    echo 'not a log' >"$log/secret.key"
    : >"$log/other_access.log"
    ln -s /etc/hostname "$log/link_access.log"
    mkdir "$log/access.d" && echo x >"$log/access.d/access.log"
    pull
    expect_names access.log access.log.1 access.log.2.gz error.log
    expect_all_lines
    local before
    before=$(find "$tree" -printf '%P %i %s %T@\n' | sort)
    pull
    [[ $(find "$tree" -printf '%P %i %s %T@\n' | sort) == "$before" ]] || fail "a second pull changed something"
    grep -q 'BatchMode=yes.*ConnectTimeout=' "$root/fake/calls" || fail "ssh was called without its limits"
}

case_growth_waits_for_the_line_end() {
    write access.log 2
    pull
    local inode
    inode=$(inode_of access.log)
    write access.log 3
    printf '192.0.2.9 - - half a li' >>"$log/access.log"
    pull
    [[ $(wc -l <"$tree/access.log") -eq 5 ]] || fail "five whole lines expected"
    printf 'ne\n' >>"$log/access.log"
    echo '192.0.2.9 - - half a line' >>"$root/written"
    pull
    [[ $(inode_of access.log) == "$inode" ]] || fail "the file was replaced instead of extended"
    expect_all_lines
}

case_an_abandoned_last_line_is_shown_after_an_hour() {
    write access.log 2
    printf 'cut off by a power failure' | tee -a "$log/access.log" >>"$root/written"
    pull
    [[ $(wc -c <"$tree/access.log") -lt $(wc -c <"$log/access.log") ]] || fail "shown too early"
    touch -d '2 hours ago' "$log/access.log"
    unfinished_allowed=yes pull
    expect_all_lines
}

case_rotation_by_rename() {
    write access.log 4 && write access.log.1 2
    pull
    local first second
    first=$(inode_of access.log) second=$(inode_of access.log.1)
    write access.log 3
    mv "$log/access.log.1" "$log/access.log.2" && mv "$log/access.log" "$log/access.log.1"
    write access.log 1
    pull
    expect_names access.log access.log.1 access.log.2
    [[ $(inode_of access.log.1) == "$first" && $(inode_of access.log.2) == "$second" ]] || fail "not renamed"
    expect_all_lines
}

case_two_rotations_between_two_pulls() {
    write access.log 4
    pull
    local first
    first=$(inode_of access.log)
    mv "$log/access.log" "$log/access.log.1" && write access.log 3
    mv "$log/access.log.1" "$log/access.log.2" && mv "$log/access.log" "$log/access.log.1" && write access.log 2
    pull
    [[ $(inode_of access.log.2) == "$first" ]] || fail "the first file was not renamed to .2"
    expect_all_lines
}

case_rotation_with_dates_and_compression() {
    write access.log 4
    pull
    local first
    first=$(inode_of access.log)
    write access.log 3
    mv "$log/access.log" "$log/access.log-20261120" && gzip "$log/access.log-20261120"
    write access.log 2
    pull
    expect_names access.log access.log-20261120
    [[ $(inode_of access.log-20261120) == "$first" ]] || fail "the unread lines must go to the file that is followed"
    expect_all_lines
    pull
    expect_names access.log access.log-20261120
}

case_copytruncate() {
    write access.log 40
    pull
    local first
    first=$(inode_of access.log)
    write access.log 3
    cp "$log/access.log" "$log/access.log.1" && : >"$log/access.log"
    write access.log 2
    pull
    [[ $(inode_of access.log.1) == "$first" ]] || fail "the copy must continue the file that is followed"
    expect_all_lines
    # Grown past the old length before the next look: only the content tells.
    cp "$log/access.log" "$log/access.log.0" && : >"$log/access.log"
    write access.log 60
    pull
    expect_all_lines
}

case_copytruncate_in_the_middle() {
    write access.log 40
    pull
    # The copy is being made: a shorter, then an equal view of the same generation.
    head -c 500 "$log/access.log" >"$log/access.log.1"
    pull
    expect_names access.log
    cp "$log/access.log" "$log/access.log.1"
    pull
    expect_names access.log
    : >"$log/access.log" && write access.log 1
    pull
    expect_names access.log access.log.1
    expect_all_lines
}

case_truncation_without_a_copy_keeps_what_is_here() {
    write access.log 10
    pull
    : >"$log/access.log" && write access.log 2
    pull
    [[ $(cd "$tree" && echo access.log.gone-*) != 'access.log.gone-*' ]] || fail "the old lines are lost"
    expect_all_lines
}

case_unreachable_host_does_not_stop_the_others() {
    write access.log 3
    printf 'down1:/var/log/nginx\nweb1:%s\ndown2:/var/log/apache2\n' "$log" >"$root/hosts"
    local status
    status=$(pull_status)
    ((status == 1)) || fail "exit code 1 expected, got $status"
    expect_all_lines
    grep -q 'failed: down1:/var/log/nginx (no connection' "$root/output" || fail "down1 is not named"
    grep -q 'pulled 1 of 3 hosts' "$root/output" || fail "no summary"
    ! grep -q $'\033' "$root/output" || fail "a remote message reached the terminal unescaped"
}

case_interrupted_pull() {
    write access.log 4000
    # Incompressible, so that the break comes in the middle of the file.
    head -c 900000 /dev/urandom | base64 -w 100 | tee -a "$log/access.log" >>"$root/written"
    echo 300000 >"$root/fake/cut-after"
    local status
    status=$(pull_status)
    ((status == 1)) || fail "exit code 1 expected, got $status"
    [[ ! -e $tree/access.log ]] || fail "half a file was shown"
    grep -q 'the next run resumes' "$root/output" || fail "the reason is missing"
    rm "$root/fake/cut-after"
    pull
    expect_all_lines
    # The same while a followed file grows and is rotated.
    write access.log 5
    echo 1000 >"$root/fake/cut-after"
    status=$(pull_status)
    ((status == 1)) || fail "exit code 1 expected, got $status"
    observe
    mv "$log/access.log" "$log/access.log.1" && write access.log 2
    rm "$root/fake/cut-after"
    pull
    expect_all_lines
}

case_rotation_after_a_broken_pull_finds_no_stale_basis() {
    write access.log 400
    pull
    # Complete in the broken copy, then rotated into another name and emptied.
    write access.log 400
    head -c 900000 /dev/urandom | base64 -w 100 | tee "$log/error.log" >>"$root/written"
    local status
    echo 200000 >"$root/fake/cut-after"
    status=$(pull_status)
    ((status == 1)) || fail "exit code 1 expected, got $status"
    [[ -n $(find "$root/dest/.staging" -path '*/new/access.log') ]] || fail "the case needs a complete file in the broken copy"
    rm "$root/fake/cut-after"
    mv "$log/access.log" "$log/access.log.1" && : >"$log/access.log"
    pull
    expect_all_lines
}

case_crash_while_appending() {
    write access.log 20
    pull
    # What a power failure in the middle of an append leaves.
    local inode
    inode=$(inode_of access.log)
    truncate -s -30 "$tree/access.log" && rm "$root/seen/$inode"
    pull
    [[ $(inode_of access.log) == "$inode" ]] || fail "the file was replaced"
    expect_all_lines
}

case_full_disk_is_reported_and_made_good() {
    write access.log 3
    pull
    write access.log 300
    # A file size limit stands in for a full disk.
    local status=0
    (ulimit -f 8 && trap '' XFSZ && bash "$collect" --hosts "$root/hosts" --dest "$root/dest") >"$root/output" 2>&1 || status=$?
    ((status == 1)) || fail "exit code 1 expected, got $status"
    unfinished_allowed=yes observe
    pull
    expect_all_lines
}

case_concurrent_run_is_refused() {
    write access.log 3
    mkdir -p "$root/dest"
    local status
    exec 8>"$root/dest/.lock"
    flock 8
    status=$(pull_status)
    ((status == 75)) || fail "exit code 75 expected, got $status"
    [[ ! -e $tree ]] || fail "the refused run wrote"
    exec 8>&-
    pull
    expect_all_lines
}

case_dry_run_changes_nothing() {
    write access.log 3
    local status
    status=$(pull_status --dry-run)
    ((status == 0)) || fail "exit code $status"
    grep -q 'access.log' "$root/output" || fail "the file is not named"
    [[ ! -e $root/dest ]] || fail "something was written"
}

case_old_files_leave_after_the_kept_days() {
    write access.log 3 && write access.log-20260801 2
    touch -d '40 days ago' "$log/access.log-20260801"
    pull
    rm "$log/access.log-20260801"
    pull --keep-days 50
    expect_names access.log access.log-20260801
    pull --keep-days 0
    expect_names access.log access.log-20260801
    pull
    expect_names access.log
}

case_logs_with_the_same_lines_stay_apart() {
    write a.access.log 1
    cp "$log/a.access.log" "$log/b.access.log" && cat "$log/b.access.log" >>"$root/written"
    pull
    expect_names a.access.log b.access.log
    expect_all_lines
}

case_bad_settings_are_refused() {
    local entry status
    for entry in '-oProxyCommand=x:/var/log' 'web1:/var/log/../etc' 'web1:relative' 'we b1:/a;rm' 'web1' '[2001:db8::1]:/var/log'; do
        printf '%s\n' "$entry" >"$root/hosts"
        status=$(pull_status)
        ((status == 2)) || fail "'$entry' gave exit code $status"
    done
    grep -q 'hosts:1: not \[user@\]host:/folder' "$root/output" || fail "file and line are missing"
    printf 'web1:/var/log\nops@web1:/var/log/\n' >"$root/hosts"
    [[ $(pull_status) == 2 ]] || fail "the same folder twice was accepted"
    : >"$root/hosts"
    [[ $(pull_status) == 2 ]] || fail "an empty hosts file was accepted"
    [[ $(pull_status --frobnicate) == 2 ]] || fail "an unknown option was accepted"
    bash "$collect" --help | grep -q '^Usage: ' || fail "no help"
}

# Random steps on the server between pulls, some of which break; the seed repeats a run.
random_run() {
    local seed=$1 step
    begin "random_$seed"
    case_name="random history, seed $seed"
    RANDOM=$seed
    for ((step = 0; step < 40; step++)); do
        case $((RANDOM % 9)) in
        0 | 1 | 2) write access.log $((1 + RANDOM % 30)) ;;
        3) shift_rotated && if [[ -s $log/access.log ]]; then mv "$log/access.log" "$log/access.log.1"; fi ;;
        4) shift_rotated && if [[ -s $log/access.log ]]; then cp "$log/access.log" "$log/access.log.1" && : >"$log/access.log"; fi ;;
        5) echo $((RANDOM % 3000)) >"$root/fake/cut-after" && pull_status >/dev/null && observe && rm "$root/fake/cut-after" ;;
        *) pull ;;
        esac
    done
    pull
    expect_all_lines
}

# What logrotate does with `compress`, `delaycompress` and more rotations than steps.
shift_rotated() {
    local number
    for ((number = 40; number >= 1; number--)); do
        if [[ -e $log/access.log.$number.gz ]]; then mv "$log/access.log.$number.gz" "$log/access.log.$((number + 1)).gz"; fi
        if [[ -e $log/access.log.$number ]]; then
            mv "$log/access.log.$number" "$log/access.log.$((number + 1))" && gzip "$log/access.log.$((number + 1))"
        fi
    done
}

for program in rsync flock gzip cmp perl; do
    command -v "$program" >/dev/null || { echo "tests/collect_logs.sh: $program is missing (Debian: apt-get install rsync util-linux gzip diffutils perl)" >&2 && exit 1; }
done
cases=("$@")
((${#cases[@]})) || mapfile -t cases < <(declare -F | sed -n 's/^declare -f case_//p')
for name in "${cases[@]}"; do
    begin "$name"
    "case_$name"
    printf 'ok %s\n' "${name//_/ }"
done
if ((!$#)); then
    for ((seed = 1; seed <= ${GATEWATCH_SEEDS:-5}; seed++)); do random_run "$seed"; done
    printf 'ok %s random histories\n' "${GATEWATCH_SEEDS:-5}"
fi
