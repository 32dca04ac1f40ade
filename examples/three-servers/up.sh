#!/usr/bin/env bash
# Three servers on this machine, with two owners, an analyst and an operator whom they know: to try the service out.
#
#     examples/three-servers/up.sh DIR [PORT]
#
# Makes keys and configurations in DIR, if they are not there yet, starts the three servers, and asks `shamisen doctor`
# whether all is well. Ctrl-C ends the servers. They use the six ports from PORT (7443) on. SHAMISEN names the program.
set -euo pipefail

dir=${1:?usage: up.sh DIR [PORT]}
port=${2:-7443}
shamisen=${SHAMISEN:-shamisen}

fail() {
    echo "error: $1" >&2
    exit 1
}

command -v "$shamisen" >/dev/null ||
    fail "there is no program $shamisen: cargo install --path crates/cli --locked, or set SHAMISEN"
mkdir -p "$dir"

# The fingerprint of a key, which is made if it is not there.
key() {
    local role=$1 name=$2
    if [ ! -e "$dir/keys/$name/key.pem" ]; then
        "$shamisen" keygen --role "$role" --name "$name" --out "$dir/keys/$name" >"$dir/$name.txt" ||
            fail "no key could be made in $dir/keys/$name"
    fi
    awk '$1 == "fingerprint" && $2 != "=" { print $2 }' "$dir/$name.txt"
}

fingerprints=()
for party in 0 1 2; do
    fingerprints+=("$(key server "server$party")")
done
people=$(
    for person in owner owner2 analyst operator; do
        role=${person%2}
        printf '\n[[person]]\nname = "%s"\nrole = "%s"\nfingerprint = "%s"\n' "$person" "$role" "$(key "$role" "$person")"
    done
)

address() {
    echo "127.0.0.1:$((port + 2 * $1))"
}

for party in 0 1 2; do
    {
        printf 'party = %s\nlisten = "%s"\n' "$party" "$(address "$party")"
        printf 'key = "keys/server%s"\ndata = "data/server%s"\n' "$party" "$party"
        for peer in 0 1 2; do
            [ "$peer" = "$party" ] ||
                printf '\n[[peer]]\nparty = %s\naddress = "%s"\nfingerprint = "%s"\n' \
                    "$peer" "$(address "$peer")" "${fingerprints[$peer]}"
        done
        echo "$people"
    } >"$dir/party$party.toml"
done
for party in 0 1 2; do
    printf '[[server]]\nparty = %s\naddress = "%s"\nfingerprint = "%s"\n\n' \
        "$party" "$(address "$party")" "${fingerprints[$party]}"
done >"$dir/cluster.toml"

if [ ! -e "$dir/terms.toml" ]; then
    {
        printf 'trainers = ["%s"]\nmax_epochs = 50\nmax_jobs = 20\n' "$(key analyst analyst)"
        printf 'outputs = ["metrics", "loss", "predictions", "model"]\nexpires = 2099-12-31\n'
    } >"$dir/terms.toml"
fi

servers=()
end() {
    trap - EXIT INT TERM
    [ ${#servers[@]} = 0 ] || kill "${servers[@]}" 2>/dev/null || true
    wait
}
trap end EXIT
trap 'exit 0' INT TERM

for party in 0 1 2; do
    : >"$dir/server$party.ready"
    "$shamisen" serve --config "$dir/party$party.toml" >"$dir/server$party.ready" 2>>"$dir/server$party.log" &
    servers+=($!)
done
for party in 0 1 2; do
    until grep -q listens "$dir/server$party.ready"; do
        kill -0 "${servers[$party]}" 2>/dev/null ||
            fail "server $party did not start: $(tail -n 2 "$dir/server$party.log")"
        sleep 0.1
    done
done
"$shamisen" doctor --cluster "$dir/cluster.toml" --key "$dir/keys/owner" ||
    fail "something is wrong with the three servers, see above; their logs are in $dir"
echo "three servers run; Ctrl-C ends them"
wait
