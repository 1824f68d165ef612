#!/bin/sh
# Runs one target for so many seconds from its seeds, regressions and own corpus:
#   fuzz/run.sh log_rows 600
set -eu
cd "$(dirname "$0")"
target=$1
seconds=${2:-600}
mkdir -p "corpus/$target" "regressions/$target"
dictionary=
if [ -f "dictionaries/$target.txt" ]; then dictionary="-dict=dictionaries/$target.txt"; fi
exec cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" "regressions/$target" -- \
    ${dictionary:+"$dictionary"} -max_total_time="$seconds" -rss_limit_mb=2048 -max_len=65536 -timeout=10 -print_final_stats=1
