#!/bin/sh
# Makes the secrets that compose.yaml mounts, once; what is there stays. Only the folder's owner can look inside, the
# files themselves are readable, for the user inside a container has another number than you.
set -eu
cd "$(dirname "$0")/secrets"
chmod 700 .
for name in token privacy_key mqtt_password influx_password influx_admin_password; do
  if [ ! -s "$name" ]; then
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "$name"
    chmod 644 "$name"
    echo "made deploy/secrets/$name"
  fi
done
