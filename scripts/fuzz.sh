#!/usr/bin/env bash
# Runs each fuzz target for some time, and says which of them found something.
#
#     scripts/fuzz.sh [SECONDS] [TARGET...]      (default: 60, and all targets of fuzz/)
#
# What was found lies in fuzz/artifacts; `cargo fuzz run TARGET FILE` shows it again. SHAMISEN_SANITIZER=address looks for
# errors of memory as well, which takes longer to build. Needs cargo-fuzz (`cargo install cargo-fuzz`).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "fuzz: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

case "${1:-60}" in
    -h | --help)
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *[!0-9]*) fail "$1 is no number of seconds" "the first argument is the time for each target, such as 60" ;;
esac
seconds=${1:-60}
shift || true
cargo fuzz --version >/dev/null 2>&1 || fail "cargo-fuzz is not installed" "cargo install cargo-fuzz"

sanitizer=${SHAMISEN_SANITIZER:-none}
# Flags of sanitizers belong to the nightly compiler; the pinned one takes them with this.
[ "$sanitizer" = none ] || export RUSTC_BOOTSTRAP=1

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)

cargo fuzz build --sanitizer "$sanitizer" || fail "the targets cannot be built"
found=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
    corpora=("fuzz/corpus/$target")
    mkdir -p "${corpora[0]}"
    [ ! -d "fuzz/seeds/$target" ] || corpora+=("fuzz/seeds/$target")
    echo "== $target: $seconds s"
    # An input that takes 10 seconds or 2 GB is a fault, too.
    cargo fuzz run --sanitizer "$sanitizer" "$target" "${corpora[@]}" -- \
        "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 ||
        found+=("$target")
    grep -E '^stat::(number_of_executed_units|peak_rss_mb)|panicked|ERROR|SUMMARY' "$log" || tail -n 5 "$log"
done
[ ${#found[@]} -eq 0 ] || fail "found something: ${found[*]}" "see fuzz/artifacts"
echo "fuzz: ${#targets[@]} targets, nothing found"
