#!/bin/sh
# Installs the tarball and the optional packages into the current folder. Used by docker/Dockerfile.
set -eu
npm init --yes >/dev/null
npm install --omit=dev --ignore-scripts --no-audit --no-fund \
  /tmp/hawser.tgz lmdb@3.5.6 etcd3@1.1.2 prom-client@15.1.3 @opentelemetry/api@1.9.1
