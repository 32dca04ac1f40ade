#!/usr/bin/env bash
# Tests what three running servers answer against the description that they serve, by a generic tester, as each kind of caller.
#
#     crates/cli/tests/interface/run.sh [SEED]
#
# Needs Python 3.10 or later with its module venv, and packages from the registry. SHAMISEN names the program; SCHEMATHESIS may name
# the tester, which is installed for the test otherwise.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../../.." && pwd)
seed=${1:-1}
shamisen=$(command -v "${SHAMISEN:-shamisen}" | xargs realpath)
place=$(mktemp -d)
servers=
end() {
    [ -z "$servers" ] || { kill "$servers" 2>/dev/null && wait "$servers"; } || true
    rm -rf "$place"
}
trap end EXIT

tester=${SCHEMATHESIS:-}
if [ -z "$tester" ]; then
    python3 -m venv "$place/venv"
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/crates/cli/tests/interface/requirements.txt"
    tester="$place/venv/bin/schemathesis"
fi

# Six ports in a row that nobody has, below those that the system gives to connections.
port=$(
    python3 - <<'PYTHON'
import random, socket

def is_free(port):
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

print(next(first for first in random.sample(range(20000, 31990), 1000) if all(map(is_free, range(first, first + 6)))))
PYTHON
)
SHAMISEN=$shamisen "$root/examples/three-servers/up.sh" "$place" "$port" >"$place/up.log" 2>&1 &
servers=$!
until grep -q "three servers run" "$place/up.log"; do
    kill -0 "$servers" 2>/dev/null || { cat "$place/up.log" >&2 && exit 1; }
    sleep 0.2
done

# A data set, and a model that is kept.
cluster=(--cluster "$place/cluster.toml")
"$shamisen" put "$root/datasets/breast_cancer.csv" --name clinic --target diagnosis --task classification \
    --terms "$place/terms.toml" "${cluster[@]}" --key "$place/keys/owner" >/dev/null
"$shamisen" submit "${cluster[@]}" --key "$place/keys/analyst" --data clinic --hidden 4 --epochs 1 \
    --outputs metrics,loss,predictions,model --name first --watch >"$place/job" 2>/dev/null
job=$(awk '$1 == "job" { print $2; exit }' "$place/job")
set=$("$shamisen" list "${cluster[@]}" --key "$place/keys/owner" | awk '$1 == "clinic" { print $2 }')
[ ${#job} = 32 ] && [ ${#set} = 32 ] || { echo "no job or no data set came about" >&2 && exit 1; }

# What is signed cannot be made up, and an order is one of server 0: a good form is not enough there.
cat >"$place/schemathesis.toml" <<TOML
[[operations]]
include-path-regex = "^/v1/(jobs|models)/\\\\{id\\\\}"
include-method = "GET"
parameters = { id = "$job" }

[[operations]]
include-path-regex = "^/v1/datasets/\\\\{id\\\\}"
include-method = "GET"
parameters = { id = "$set" }

[[operations]]
include-path-regex = "^/v1/(jobs|jobs/\\\\{id\\\\}/order|uploads|datasets/\\\\{id\\\\}/terms|peer/uploads)$"
include-method = ["POST", "PUT"]
[operations.checks]
positive_data_acceptance.enabled = false
TOML

# server0 is what server 1 may be asked by.
failed=0
for caller in 0:operator 0:analyst 0:owner 1:server0; do
    party=${caller%%:*} name=${caller#*:}
    echo "== server $party, asked by $name"
    # Unless the server takes the caller for whom it should, the rest says nothing.
    python3 - "$((port + 2 * party))" "$place/keys/$name" <<'PYTHON'
import http.client, json, ssl, sys

context = ssl._create_unverified_context()
context.load_cert_chain(f"{sys.argv[2]}/certificate.pem", f"{sys.argv[2]}/key.pem")
server = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
server.request("GET", "/v1/whoami")
answer = server.getresponse()
assert answer.status == 200, answer.read()
print("   known as", json.load(answer)["role"])
PYTHON
    # What it keeps of its findings would change later runs.
    cd "$place"
    "$tester" --config-file "$place/schemathesis.toml" run "https://127.0.0.1:$((port + 2 * party))/openapi.json" \
        --request-cert "$place/keys/$name/certificate.pem" --request-cert-key "$place/keys/$name/key.pem" \
        --tls-verify false --request-retries 3 --seed "$seed" --max-examples 25 --continue-on-failure --warnings off --no-color \
        >"$place/$name.log" 2>&1 || { failed=1 && cat "$place/$name.log" >&2 && continue; }
    grep -aE "^ *[0-9]+ generated" "$place/$name.log"
done
for party in 0 1 2; do
    [ -s "$place/server$party.log" ] || failed=1
    ! grep -aE "panicked|\"level\":\"ERROR\"| ERROR " "$place/server$party.log" >&2 || failed=1
done
exit "$failed"
