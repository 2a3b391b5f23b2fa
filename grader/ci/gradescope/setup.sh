#!/usr/bin/env bash
# Gradescope runs this once, when the image is built. Put it beside run_autograder and shardbook.tgz (made by `npm pack`) in the
# autograder's zip, and write the exercise's name into exercise.txt.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq --no-install-recommends npm bubblewrap util-linux
npm install --global n
n 22
hash -r
npm install --global --ignore-scripts /autograder/source/shardbook.tgz
# Solutions and checks are for the grader alone.
chmod -R go-rwx "$(npm root --global)/shardbook/solutions"
