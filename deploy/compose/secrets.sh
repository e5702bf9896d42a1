#!/usr/bin/env bash
# Makes the passwords of compose.yaml, once: what is there stays as it is.
set -euo pipefail

folder="$(dirname "${BASH_SOURCE[0]}")/secrets"
mkdir -p "$folder"
# Nobody else can enter the folder; the files are readable for the accounts in the containers.
chmod 700 "$folder"

keep() { # NAME: write standard input, unless the file is there
    cat > "$folder/$1.new"
    chmod 444 "$folder/$1.new"
    if [ -s "$folder/$1" ]; then
        rm "$folder/$1.new"
    else
        mv "$folder/$1.new" "$folder/$1"
    fi
}

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

password | keep broker_password
password | keep database_password
password | keep grafana_password
# Only the node can make a token that it takes: this one is to be replaced (docs/containers.md).
password | keep metrics_token
printf 'redis://:%s@broker:6379/0' "$(cat "$folder/broker_password")" | keep broker_url
printf 'postgresql+psycopg://node:%s@database/node' "$(cat "$folder/database_password")" | keep ledger_url
printf '{"RegisteredUsers": {"admin": "%s"}}' "$(password)" | keep archive_users.json
echo "passwords are in $folder"
