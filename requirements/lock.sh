#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml: core.txt, test.txt, docs.txt and oracles.txt beside
# this script, each with exact versions and each adding only what the one before it lacks; and
# bench.txt, whole, for the environment in which Backlight is timed beside its peers.
# Usage: requirements/lock.sh [PYTHON], with the oldest Python that Backlight supports.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Exact versions of everything in a virtual environment, without a local build tag such as +cpu.
freeze() {
    "$scratch/$1/bin/pip" freeze --all --exclude pip --exclude setuptools --exclude backlight |
        sed 's/+[a-z0-9.]*$//' | LC_ALL=C sort -f
}

install() {
    local environment=$1
    shift
    [ -d "$scratch/$environment" ] || "$python" -m venv "$scratch/$environment"
    "$scratch/$environment/bin/pip" install -qq --disable-pip-version-check "$@"
}

write() {
    local title=$1 base=$2
    echo "# $title Written by requirements/lock.sh; do not edit."
    if [ -n "$base" ]; then echo "-r $base"; fi
}

# hatchling and editables build the editable install, so that no unpinned build tool is fetched.
build_tools=(hatchling editables)

# Everything is resolved together first, so that these files agree with each other.
install all "${build_tools[@]}" '.[test,docs,oracles]'
freeze all > "$scratch/all.txt"

install step -c "$scratch/all.txt" "${build_tools[@]}" .
freeze step > "$scratch/core.txt"
install step -c "$scratch/all.txt" '.[test]'
freeze step > "$scratch/test.txt"
install step -c "$scratch/all.txt" '.[test,docs]'
freeze step > "$scratch/docs.txt"
install bench "${build_tools[@]}" '.[bench]'
freeze bench > "$scratch/bench.txt"

{
    write "What Backlight needs to run, and to be installed editable." ""
    cat "$scratch/core.txt"
} > requirements/core.txt
{
    write "What the tests and checks need." core.txt
    grep -vxFf "$scratch/core.txt" "$scratch/test.txt"
} > requirements/test.txt
{
    write "What the documentation is built with." test.txt
    grep -vxFf "$scratch/test.txt" "$scratch/docs.txt"
} > requirements/docs.txt
{
    write "Independent libraries that the tests compare with when they are there." docs.txt
    grep -vxFf "$scratch/docs.txt" "$scratch/all.txt"
} > requirements/oracles.txt
{
    write "Backlight's peers, for an environment of their own." ""
    cat "$scratch/bench.txt"
} > requirements/bench.txt
