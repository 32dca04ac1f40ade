#!/usr/bin/env bash
# Three servers in three network namespaces with addresses of their own, 20 ms from each other: a table is uploaded, a
# network trained and asked for predictions, from a fourth one.
#
#     scripts/namespaces.sh
#
# Needs root, iproute2, Python 3 and /dev/net/tun; says what is missing, and then ends with status 0. SHAMISEN names the
# program (target/release/shamisen), LATENCY the milliseconds one way (20).
set -euo pipefail
cd "$(dirname "$0")/.."
shamisen=${SHAMISEN:-target/release/shamisen}
latency=${LATENCY:-20}

skip() {
    echo "namespaces: skipped: $1" >&2
    exit 0
}

fail() {
    echo "namespaces: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || skip "only root may make network namespaces"
for program in ip python3; do
    command -v "$program" >/dev/null || skip "$program is not installed (apt-get install iproute2 python3)"
done
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
[ -x "$shamisen" ] || fail "there is no $shamisen: cargo build --release, or set SHAMISEN"

dir=$(mktemp -d)
names=()
processes=()
end() {
    trap - EXIT INT TERM
    [ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait
    for name in "${names[@]}"; do
        ip netns delete "$name" || true
    done
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' INT TERM

# Namespaces are of the whole machine: their names have the number of this process.
for place in server0 server1 server2 client; do
    name=shamisen-$$-$place
    ip netns add "$name" 2>/dev/null || skip "network namespaces cannot be made here"
    names+=("$name")
    ip -n "$name" link set lo up
done
address() {
    echo "10.77.7.1$1"
}
python3 scripts/delay_line.py "$latency" "${names[0]}=$(address 0)" "${names[1]}=$(address 1)" \
    "${names[2]}=$(address 2)" "${names[3]}=$(address 3)" >"$dir/line" 2>"$dir/line.log" &
line=$!
processes+=("$line")
until grep -q ready "$dir/line"; do
    kill -0 "$line" 2>/dev/null || skip "TUN devices cannot be made here: $(tail -n 1 "$dir/line.log")"
    sleep 0.1
done

at() {
    local place=$1
    shift
    ip netns exec "${names[$place]}" "$@"
}

# A program in the place of a client.
client() {
    at 3 "$shamisen" "$@" --cluster "$dir/cluster.toml"
}

declare -A keys
for key in server0 server1 server2 owner analyst; do
    "$shamisen" keygen --role "${key%[0-2]}" --name "$key" --out "$dir/$key" >"$dir/$key.txt"
    keys[$key]=$(awk '$1 == "fingerprint" && $2 != "=" { print $2 }' "$dir/$key.txt")
done
for party in 0 1 2; do
    {
        printf 'party = %s\nlisten = "%s:7443"\nkey = "server%s"\ndata = "data%s"\n' \
            "$party" "$(address "$party")" "$party" "$party"
        printf '[limits]\nlanes = 1\nfree_disk_bytes = 0\n'
        for peer in 0 1 2; do
            [ "$peer" = "$party" ] || printf '[[peer]]\nparty = %s\naddress = "%s:7443"\nfingerprint = "%s"\n' \
                "$peer" "$(address "$peer")" "${keys[server$peer]}"
        done
        for role in owner analyst; do
            printf '[[person]]\nname = "%s"\nrole = "%s"\nfingerprint = "%s"\n' "$role" "$role" "${keys[$role]}"
        done
    } >"$dir/party$party.toml"
    printf '[[server]]\nparty = %s\naddress = "%s:7443"\nfingerprint = "%s"\n' \
        "$party" "$(address "$party")" "${keys[server$party]}" >>"$dir/cluster.toml"
done
printf 'trainers = ["%s"]\nmax_epochs = 50\nmax_jobs = 5\noutputs = ["metrics", "predictions"]\nexpires = 2099-12-31\n' \
    "${keys[analyst]}" >"$dir/terms.toml"

for party in 0 1 2; do
    # Not by `at`: its process would be a shell, whose end is not the server's.
    ip netns exec "${names[$party]}" "$shamisen" serve --config "$dir/party$party.toml" \
        >"$dir/ready$party" 2>"$dir/log$party" &
    processes+=($!)
done
for party in 0 1 2; do
    until grep -q listens "$dir/ready$party"; do
        kill -0 "${processes[$((party + 1))]}" 2>/dev/null || fail "server $party did not start: $(tail -n 2 "$dir/log$party")"
        sleep 0.1
    done
done

table=datasets/breast_cancer.csv
client doctor --key "$dir/owner" || fail "the doctor finds something wrong, see above"
client put "$table" --name tumours --target diagnosis --task classification --terms "$dir/terms.toml" \
    --staging "$dir/staged" --key "$dir/owner"
training=(--hidden 32 --epochs 5 --learning-rate 0.01 --batch-size 32)
client submit --data tumours --name tumours "${training[@]}" --outputs metrics,predictions --watch \
    --key "$dir/analyst" | tee "$dir/there"
client predict --model tumours --data "$table" --output "$dir/predictions.csv" --key "$dir/analyst"
[ "$(wc -l <"$dir/predictions.csv")" = "$(wc -l <"$table")" ] || fail "there are predictions missing"

# The same on this machine, without the network.
"$shamisen" train --data "$table" --target diagnosis --task classification --transport memory "${training[@]}" \
    >"$dir/here"
accuracy() {
    grep -oE 'accuracy +[0-9.]+' "$1" | head -n 1 | grep -oE '[0-9.]+$'
}
there=$(accuracy "$dir/there") here=$(accuracy "$dir/here")
python3 -c "import sys; sys.exit(abs(float('$there') - float('$here')) > 3)" ||
    fail "the accuracy is $there over the network and $here on one machine"
echo "namespaces: uploaded, trained and predicted with $latency ms one way; accuracy $there, and $here on one machine"
