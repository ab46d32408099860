#!/usr/bin/env bash
# Pulls web-server logs from several Linux servers into one local tree that gatewatch follows.
#
#   DEST/<host>/<remote folder>/<file>      such as DEST/web1.example.org/var/log/nginx/access.log
#
# The one invariant: a local file is always a byte-for-byte prefix of one remote generation of a
# log. It grows by append only, ends at a line end, and changes its name by rename only. So a
# follower that knows a file by inode and first bytes reads each line once, whatever rotation,
# truncation or broken connection happened between two pulls.
#
# Why not `rsync --append-verify` straight into the tree: after a rotation the remote `access.log`
# is another file than the local `access.log`, and rsync would rewrite the local one in place.
# Hence two steps:
#
#   1. rsync makes an exact copy of the remote folder in DEST/.staging. The previous copy serves as
#      the basis (--link-dest, --fuzzy), so a renamed log costs next to no traffic, and a broken
#      transfer is resumed. The far end needs only rsync: a key restricted with
#      `command="rrsync -ro /var/log"` is enough.
#   2. Each staged file is compared with the local files. One that begins with all of a local
#      file's bytes is that generation, under whatever name: its new lines are appended, then the
#      local file is renamed if the remote one was. Anything else is a new file, which appears by
#      rename from the staging folder.
#
# Nothing but the files themselves is remembered, so a crash between any two steps leaves a tree
# from which the next pull goes on.
set -euo pipefail
shopt -s nullglob extglob inherit_errexit
export LC_ALL=C TZ=UTC
umask 027

readonly EX_FAILED=1 EX_USAGE=2 EX_UNAVAILABLE=69 EX_BUSY=75
# A line still without its line end after this long will not get one any more.
readonly UNFINISHED_SECONDS=3600
# What names a generation at first sight is its first line, read up to this length.
readonly FIRST_LINE_BYTES=4096

program=${0##*/}
hosts_file='' destination='' bandwidth='' dry_run='' verbose='' keep_days=30
remote_shell=${RSYNC_RSH:-ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=4}
patterns=()

usage() {
    cat <<TEXT
Usage: $program --hosts FILE --dest DIR [options]

Pulls access and error logs, rotated ones included, from Linux web servers over ssh and rsync.

  --hosts FILE      one [user@]host:/folder per line; '#' starts a comment
  --dest DIR        local tree; gatewatch watches DIR/*/var/log/nginx/*access* and the like
  --include GLOB    file names to pull, repeatable (default: *access* and *error*)
  --bwlimit RATE    at most RATE per second, as rsync reads it (500k, 2m)
  --keep-days N     delete local files that their server no longer has N days after their last
                    line (default 30; 0 keeps them)
  --rsh COMMAND     remote shell (default: \$RSYNC_RSH, else ssh in batch mode with time limits)
  --dry-run         show what would be transferred; change nothing
  -v, --verbose     name each file that changed; without it a good run prints nothing
  -h, --help        this text

Ports, keys and jump hosts belong in ~/.ssh/config. No password is ever asked for.

Exit: 0 all hosts pulled, 1 at least one host failed (the others were pulled), 2 usage or hosts
file, 69 a needed program is missing, 75 another run holds the lock.
TEXT
}

say() { printf '%s: %s\n' "$program" "$*" >&2; }
note() { if [[ -n $verbose ]]; then say "$@"; fi; }
die() {
    local status=$1
    shift
    say "$@"
    exit "$status"
}

parse_arguments() {
    while (($#)); do
        case $1 in
        --hosts | --dest | --include | --bwlimit | --keep-days | --rsh)
            (($# >= 2)) || die "$EX_USAGE" "$1 needs a value; see --help"
            case $1 in
            --hosts) hosts_file=$2 ;;
            --dest) destination=${2%/} ;;
            --include) patterns+=("$2") ;;
            --bwlimit) bandwidth=$2 ;;
            --keep-days) keep_days=$2 ;;
            --rsh) remote_shell=$2 ;;
            esac
            shift 2
            ;;
        --dry-run) dry_run=yes && shift ;;
        -v | --verbose) verbose=yes && shift ;;
        -h | --help) usage && exit 0 ;;
        *) die "$EX_USAGE" "unknown argument $1; see --help" ;;
        esac
    done
    [[ -n $hosts_file ]] || die "$EX_USAGE" "--hosts is missing; see --help"
    [[ $destination == /* ]] || die "$EX_USAGE" "--dest must be an absolute path below /; see --help"
    [[ $keep_days =~ ^(0|[1-9][0-9]{0,4})$ ]] || die "$EX_USAGE" "--keep-days $keep_days is not a number of days"
    ((${#patterns[@]})) || patterns=('*access*' '*error*')
}

# Fills `entries` from the hosts file; every problem is reported before the run is refused.
read_hosts() {
    local line number=0 problems=0
    local -A seen=()
    entries=()
    [[ -r $hosts_file ]] || die "$EX_USAGE" "cannot read the hosts file $hosts_file"
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        line=${line%%#*}
        line=${line//[$' \t\r']/}
        [[ -n $line ]] || continue
        # The narrow character set keeps an entry from being read as an option, a glob or shell
        # code on either side.
        if ! [[ $line =~ ^([A-Za-z0-9_][A-Za-z0-9._-]*@)?([A-Za-z0-9][A-Za-z0-9._-]*):(/[A-Za-z0-9._/-]+)$ ]] ||
            [[ $line == *..* ]]; then
            say "$hosts_file:$number: not [user@]host:/folder with letters, digits, '.', '_' and '-'; give other addresses a name in ~/.ssh/config"
            problems=1
            continue
        fi
        local key="${BASH_REMATCH[2]}:${BASH_REMATCH[3]%/}"
        if [[ -n ${seen[$key]:-} ]]; then
            say "$hosts_file:$number: $key is already in line ${seen[$key]}; remove one"
            problems=1
            continue
        fi
        seen[$key]=$number
        entries+=("${line%/}")
    done <"$hosts_file"
    ((problems == 0)) || exit "$EX_USAGE"
    ((${#entries[@]})) || die "$EX_USAGE" "$hosts_file names no host; write one [user@]host:/folder per line"
}

# What a remote side says may hold anything; the terminal and cron's mail get printable text.
printable() { tr -c '[:print:]\n' '?' | sed "s|^|$program: $1: |" >&2; }

# Empties $stage/new but for the beginning of a file. What a broken transfer left complete becomes a
# basis in a folder of its own: in the folder that rsync writes to, it could replace a file that it
# has just chosen as the basis of another one, and would give up.
start_afresh() {
    local path
    mkdir -p -- "$1/broken" "$1/new" || return
    for path in "$1/new"/*; do
        # Removed first: mv refuses when both names are links to one file.
        rm -f -- "$1/broken/${path##*/}" && mv -T -- "$path" "$1/broken/${path##*/}" || return
    done
}

# Copies the remote folder into $stage/new. The exit code is rsync's.
fetch() {
    local entry=$1 stage=$2 pattern
    local -a options=(--recursive --times --modify-window=-1 --compress --timeout=120 --rsh="$remote_shell")
    [[ -z $bandwidth ]] || options+=(--bwlimit="$bandwidth")
    for pattern in "${patterns[@]}"; do options+=(--include="$pattern"); done
    # Without --links a symbolic link is passed over; sub-folders fall to the last rule.
    options+=(--exclude='*' --info=nonreg0)
    if [[ -n $dry_run ]]; then
        rsync "${options[@]}" --dry-run --itemize-changes -- "$entry/" "$stage/current/"
        return
    fi
    start_afresh "$stage" || return
    # --fuzzy twice also looks for a renamed log in the earlier copies.
    options+=(--delete --partial-dir=.partial --fuzzy --fuzzy --link-dest="$stage/current" --link-dest="$stage/broken")
    # The lock's descriptor stays here, or a shared ssh connection could hold the lock for hours.
    rsync "${options[@]}" -- "$entry/" "$stage/new/" 2>&1 9>&- | printable "${entry%%:*}"
}

size_of() { stat -c %s -- "$1"; }

# The log a file belongs to: its name without rotation number, date and compression.
family_of() {
    local name=$1
    name=${name%.gone-*}
    name=${name%.@(gz|xz|bz2|zst)}
    while [[ $name =~ ^(.+)[.-][0-9]+$ ]]; do name=${BASH_REMATCH[1]}; done
    if [[ $name =~ ^(.+)-[0-9]{8}(-[0-9]+)?(\..+)$ ]]; then name=${BASH_REMATCH[1]}${BASH_REMATCH[3]}; fi
    printf '%s' "$name"
}

# Names the generation whose bytes come on standard input: family and first line. Files with
# the same key are compared byte by byte before anything is done with them.
key_of() {
    local digest
    # The rest of the input is not read: a decompressor ends on the closed pipe.
    digest=$(head -c "$FIRST_LINE_BYTES" | head -n 1 | sha256sum) || true
    printf '%s/%s' "$1" "${digest%% *}"
}

unpack() {
    case $1 in
    *.gz) gzip -dc -- "$1" ;;
    *.xz) xz -dc -- "$1" ;;
    *.bz2) bzip2 -dc -- "$1" ;;
    *.zst) zstd -dcq -- "$1" ;;
    esac 2>/dev/null
}

# True when the first `$3` bytes of both files are the same.
same_start() { cmp -s -n "$3" -- "$1" "$2"; }

# Bytes of a staged file that may be shown: up to its last line end, or all when its writer left.
finished_bytes() {
    local size rest=0
    size=$(size_of "$1")
    if (($(tail -c 1 -- "$1" | wc -l) == 0 && now - $(stat -c %Y -- "$1") < UNFINISHED_SECONDS)); then
        rest=$(tail -n 1 -- "$1" | wc -c)
    fi
    printf '%s' "$((size - rest))"
}

is_packed() { [[ $1 == *.@(gz|xz|bz2|zst) ]]; }

# The functions from here to `publish` share the variables that `publish` declares.

index_local() {
    local path name key
    for path in "$tree"/*; do
        [[ -f $path ]] || continue
        name=${path##*/}
        if is_packed "$name"; then
            packed_local+=("$name")
        else
            key=$(key_of "$(family_of "$name")" <"$path")
            local_by_key[$key]+="$name "
        fi
    done
}

# Longest first: where one generation was seen under two names, because the log was rotated
# during the transfer, the longer view is the newer one and the other is passed over.
match_staged() {
    local size name
    while IFS=' ' read -r -d '' size name; do
        [[ $name != .* ]] || continue
        if ! [[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9._@+,=-]*$ ]]; then
            say "$label: passed over a file with an unusual name: ${name//[^[:print:]]/?}"
        elif is_packed "$name"; then
            packed_staged+=("$name")
        elif ((size > 0)); then
            match_plain "$name" "$size"
        fi
    done < <(find "$stage/current" -maxdepth 1 -type f -printf '%s %f\0' | sort -z -k1,1nr -k2)
    for name in "${packed_staged[@]}"; do match_packed "$name"; done
}

match_plain() {
    local name=$1 size=$2 staged=$stage/current/$1 key other have best='' best_size=0
    key=$(key_of "$(family_of "$name")" <"$staged")
    for other in ${local_by_key[$key]:-}; do
        have=$(size_of "$tree/$other")
        if [[ -n ${claimed[$other]:-} ]]; then
            if same_start "$staged" "${claimed[$other]}" "$size"; then return 0; fi
        elif ((have <= size)); then
            if ((have > best_size)) || { ((have == best_size)) && [[ $other == "$name" ]]; }; then
                if same_start "$staged" "$tree/$other" "$have"; then best=$other best_size=$have; fi
            fi
        elif same_start "$staged" "$tree/$other" "$size"; then
            # An older view of what is here already, such as a copy in the making.
            claimed[$other]=$staged
            target[$other]=$other
            return 0
        fi
    done
    if [[ -n $best ]]; then
        claimed[$best]=$staged
        target[$best]=$name
        return 0
    fi
    for other in ${fresh_by_key[$key]:-}; do
        if same_start "$staged" "$stage/current/$other" "$size"; then return 0; fi
    done
    fresh[$name]=$staged
    fresh_by_key[$key]+="$name "
}

# A compressed file is an unchanged one, or a known plain one that the server compressed since
# (its last lines are taken from it; the local file stays plain), or history from before our time.
match_packed() {
    local name=$1 staged=$stage/current/$1 plain=${1%.*} other key unpacked
    for other in "${packed_local[@]}"; do
        [[ -z ${claimed[$other]:-} ]] || continue
        if [[ $staged -ef $tree/$other ]] || cmp -s -- "$staged" "$tree/$other"; then
            claimed[$other]=$staged
            target[$other]=$name
            return 0
        fi
    done
    key=$(unpack "$staged" | key_of "$(family_of "$name")") || true
    [[ -z ${fresh_by_key[$key]:-} ]] || return 0
    for other in ${local_by_key[$key]:-}; do
        # The server still has the plain file: its compression is under way.
        [[ -z ${claimed[$other]:-} ]] || return 0
        unpacked=$stage/unpacked/$plain
        if packed_length_is "$staged" "$(size_of "$tree/$other")"; then
            unpacked=$tree/$other
        elif ! unpack "$staged" >"$unpacked"; then
            say "$label: cannot unpack $name yet; tried again at the next pull"
            return 0
        elif ! same_start "$unpacked" "$tree/$other" "$(size_of "$tree/$other")"; then
            continue
        fi
        if [[ $unpacked != "$tree/$other" ]]; then touch -r "$staged" -- "$unpacked"; fi
        claimed[$other]=$unpacked
        target[$other]=$plain
        return 0
    done
    fresh[$name]=$staged
}

# True when a gzip file says that it unpacks to `$2` bytes, which spares unpacking it at each pull.
packed_length_is() {
    [[ $1 == *.gz ]] && (($(tail -c 4 -- "$1" | od -An -tu4 --endian=little) == $2 % 4294967296))
}

append_lines() {
    local name staged have upto
    for name in "${!claimed[@]}"; do
        staged=${claimed[$name]}
        if is_packed "$name" || [[ $staged == "$tree/$name" ]]; then continue; fi
        have=$(size_of "$tree/$name")
        upto=$(finished_bytes "$staged")
        ((have < upto)) || continue
        head -c "$upto" -- "$staged" | tail -c "+$((have + 1))" >>"$tree/$name"
        touch -r "$staged" -- "$tree/$name"
        note "$label: $name grew by $((upto - have)) bytes"
    done
}

delete_expired() {
    local path name
    ((keep_days > 0)) || return 0
    for path in "$tree"/*; do
        name=${path##*/}
        if [[ ! -f $path || -n ${claimed[$name]:-} ]]; then continue; fi
        if ((now - $(stat -c %Y -- "$path") > keep_days * 86400)); then
            rm -f -- "$path"
            note "$label: deleted $name, gone from the server for $keep_days days"
        fi
    done
}

# Gives a file whose name another one needs a name of its own. It stays a candidate: a log that
# was renamed during the transfer is found again at the next pull.
set_aside() {
    local base=${1%.gone-*} stamp=$now
    while [[ -e $tree/$base.gone-$stamp ]]; do stamp=$((stamp + 1)); done
    mv -T --no-clobber -- "$tree/$1" "$tree/$base.gone-$stamp"
    if [[ -n ${target[$1]:-} ]]; then
        target[$base.gone-$stamp]=${target[$1]}
        unset "target[$1]"
    fi
    note "$label: $1 is set aside as $base.gone-$stamp"
}

# A chain such as .1 to .2 after .2 to .3 goes from its free end; no step overwrites a file.
rename_files() {
    local name to blocked moved
    while :; do
        blocked='' moved=''
        for name in "${!target[@]}"; do
            to=${target[$name]}
            if [[ $to == "$name" ]]; then
                continue
            elif [[ -e $tree/$to ]]; then
                blocked=$to
            else
                mv -T --no-clobber -- "$tree/$name" "$tree/$to"
                unset "target[$name]"
                moved=yes
                note "$label: $name became $to"
            fi
        done
        if [[ -z $blocked ]]; then return 0; fi
        if [[ -z $moved ]]; then set_aside "$blocked"; fi
    done
}

reveal_new() {
    local name staged upto
    for name in "${!fresh[@]}"; do
        staged=${fresh[$name]}
        upto=$(size_of "$staged")
        is_packed "$name" || upto=$(finished_bytes "$staged")
        ((upto > 0)) || continue
        if [[ -e $tree/$name ]]; then set_aside "$name"; fi
        if is_packed "$name"; then
            ln -- "$staged" "$tree/$name"
        else
            head -c "$upto" -- "$staged" >"$stage/appearing"
            touch -r "$staged" -- "$stage/appearing"
            mv -T --no-clobber -- "$stage/appearing" "$tree/$name"
        fi
        note "$label: $name is new, $upto bytes"
    done
}

# Brings the tree up to the staged copy.
publish() {
    local label=$1 stage=$2 tree=$3 now
    local -a packed_local=() packed_staged=()
    # By local name: the staged file that continues it, and the name it shall have.
    local -A claimed=() target=()
    # By remote name: the staged file that is new here.
    local -A fresh=()
    # Names by generation, each followed by a space.
    local -A local_by_key=() fresh_by_key=()
    printf -v now '%(%s)T' -1
    mkdir -p -- "$tree" "$stage/unpacked"
    index_local
    match_staged
    append_lines
    delete_expired
    rename_files
    reveal_new
    rm -rf -- "$stage/unpacked"
}

reason_of() {
    case $1 in
    # A refused connection gives 255 or 12, depending on who notices first, and so does a broken one.
    12 | 255) printf 'no connection, or it broke; the next run resumes' ;;
    10 | 30 | 35) printf 'the connection broke or timed out; the next run resumes' ;;
    23) printf 'some files could not be read; the others were pulled' ;;
    *) printf 'rsync exit code %s' "$1" ;;
    esac
}

# Pulls one line of the hosts file; on failure `reason` says why. Called with errexit off, and
# never behind `if` or `||`: bash would then ignore errexit in the inner shell as well, and a full
# disk would go unnoticed.
collect() {
    local entry=$1 host folder stage status
    host=${entry%%:*} && host=${host#*@}
    folder=${entry#*:}
    stage=$destination/.staging/$host${folder//\//%}
    if [[ -z $dry_run ]] && ! mkdir -p -- "$stage/current"; then
        reason="cannot create $stage"
        return 73
    fi
    status=0
    fetch "$entry" "$stage" || status=$?
    # 24: a file was rotated away between listing and reading, which the next pull sets right.
    if ((status == 24)); then status=0; fi
    reason=$(reason_of "$status")
    if [[ -n $dry_run ]] || ((status != 0 && status != 23)); then return "$status"; fi
    (
        set -e
        rm -rf -- "$stage/current" "$stage/broken"
        mv -T -- "$stage/new" "$stage/current"
        publish "$host:$folder" "$stage" "$destination/$host$folder"
    )
    local published=$?
    if ((published != 0)); then
        reason="cannot update $destination/$host$folder, see above; the next run goes on from here"
        return "$published"
    fi
    return "$status"
}

main() {
    local entry status reason='' pulled=0
    local -a entries failures=()
    parse_arguments "$@"
    for entry in rsync flock cmp find gzip sha256sum; do
        command -v "$entry" >/dev/null || die "$EX_UNAVAILABLE" "$entry is missing; install it (Debian: apt-get install rsync util-linux diffutils findutils gzip coreutils)"
    done
    read_hosts
    if [[ -z $dry_run ]]; then
        mkdir -p -- "$destination"
        exec 9>"$destination/.lock"
        flock --nonblock 9 || die "$EX_BUSY" "another run is at work in $destination; this one does nothing"
    fi
    # The lock is given back only after a running transfer has ended.
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for entry in "${entries[@]}"; do
        set +e
        collect "$entry"
        status=$?
        set -e
        if ((status == 0)); then
            pulled=$((pulled + 1))
        else
            failures+=("$entry ($reason)")
        fi
    done
    for entry in "${failures[@]}"; do say "failed: $entry"; done
    if ((${#failures[@]})) || [[ -n $verbose ]]; then say "pulled $pulled of ${#entries[@]} hosts"; fi
    ((${#failures[@]} == 0)) || exit "$EX_FAILED"
}

main "$@"
