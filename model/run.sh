#!/usr/bin/env bash
# Checks the models of the election.
#   run.sh            what the CI runs: full rules, witnesses, mutants (minutes)
#   run.sh full       adds the big exhaustive searches
#   run.sh trail NAME prints the shortest way into the mutant or witness NAME
# A full-rules run must find no error and must not be cut short; a mutant (one rule
# taken away) and a witness (something good that must be reachable) must end in the
# named assertion. Anything else makes this script fail.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mode=${1:-quick}
want=${2:-}
case "$mode" in
quick) mem=6000 ;;
full) mem=16000 ;;
trail) mem=6000; [ -n "$want" ] || { echo "usage: run.sh trail NAME" >&2; exit 2; } ;;
*) echo "usage: run.sh [full | trail NAME]" >&2; exit 2 ;;
esac
for tool in spin gcc; do
	command -v "$tool" >/dev/null || { echo "model: $tool is not installed (Debian: apt-get install spin gcc)" >&2; exit 1; }
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
ran=0

# the words by which each assertion is known in pan's output
pattern() {
	case "$1" in
	S1) echo 'assertion violated .*role\[0\]==' ;;
	S2) echo 'assertion violated .*>top' ;;
	S13) echo 'assertion violated .*acked<=' ;;
	S15) echo 'assertion violated .*dead\[' ;;
	S16) echo 'assertion violated .*shut\[' ;;
	reached) echo 'assertion violated .*(top|acked)==0' ;;
	esac
}

# build MODEL FLAGS CFLAGS: leaves ./pan in $tmp
build() {
	cd "$tmp"
	rm -f pan* ./*.trail _spin_nvr.tmp
	cp "$here/$1.pml" .
	# shellcheck disable=SC2086
	spin -a $2 "$1.pml" >spin.out 2>&1 || { cat spin.out >&2; exit 1; }
	# shellcheck disable=SC2086
	gcc -O2 -DSAFETY -DNOREDUCE -DMEMLIM="$mem" $3 -o pan pan.c 2>gcc.out || { cat gcc.out >&2; exit 1; }
}

# check NAME MODEL EXPECTED FLAGS: EXPECTED = none | S1 | S2 | S13 | S15 | S16 | reached
check() {
	local name=$1 model=$2 expected=$3 flags=$4 cflags pflags result start seconds states
	if [ "$mode" = trail ]; then
		[ "$name" = "$want" ] || return 0
		ran=1
		build "$model" "$flags -DNOSYM" "-DBFS"
		./pan -E -w24 >pan.out || true
		grep -E 'assertion violated' pan.out | cut -c1-60 || { echo "$name: no error, no trail"; return 0; }
		# shellcheck disable=SC2086
		spin -t $flags -DNOSYM "$model.pml" | sed -n '/^ *[0-9a-z].*/p' | sed '/^spin: text/,$d'
		return 0
	fi
	ran=1
	if [ "$expected" = none ]; then
		cflags="" pflags="-E -m2000000 -w26"
	else
		cflags="-DBFS" pflags="-E -w24"
	fi
	build "$model" "$flags" "$cflags"
	start=$(date +%s)
	# shellcheck disable=SC2086
	./pan $pflags >pan.out 2>&1 || true
	seconds=$(($(date +%s) - start))
	states=$(awk '/states, stored/ {print $1; exit}' pan.out)
	if [ "$expected" = none ]; then
		if ! grep -q 'errors: 0' pan.out; then
			result="ERROR FOUND"
		elif grep -qiE 'not completed|too small|out of memory|memlim|hash conflict limit' pan.out; then
			result="CUT SHORT"
		else
			result=ok
		fi
	elif grep -qE "$(pattern "$expected")" pan.out; then
		result=ok
	else
		result="NOT FOUND"
	fi
	printf '%-17s %-9s %-52s %10s %5ss  %-8s %s\n' "$name" "$model" "$flags" "${states:-?}" "$seconds" "$expected" "$result"
	if [ "$result" != ok ]; then
		failed=1
		tail -n 25 pan.out | cut -c1-100 >&2
	fi
}

[ "$mode" = trail ] || printf '%-17s %-9s %-52s %10s %6s  %-8s %s\n' name model flags states time expected result

# --- full rules: nothing may be found ---
check core            lease    none "-DCR=1"
check re-epoch        lease    none "-DCR=0 -DREEP"
check together        lease    none "-DDISK -DREEP -DDUP -DTP=1 -DTL=1"
check heir            handover none "-DLOSS=2"
check log             log      none "-DCR=1"
check log-two-die     log      none "-DCR=2 -DMAX=4"

# --- witnesses: with no tick of time, a second reign can only come from ... ---
check by-release      lease reached "-DWITNESS -DNO_TICK -DCR=0"
check by-obituary     lease reached "-DWITNESS -DNO_TICK -DNO_RELEASE"
check by-re-epoch     lease reached "-DWITNESS -DNO_TICK -DNO_RELEASE -DCR=0 -DREEP"

check in-step         log      reached "-DWITNESS"

# --- mutants: the cache's log, S13 to S16 must break ---
check late-put        log      S13 "-DLATE_PUT"
check open-below      log      S13 "-DOPEN_BELOW"
check no-margin       log      S13 "-DNO_MARGIN"
check sure-silent     log      S13 "-DSURE_SILENT"
check no-behind       log      S15 "-DNO_BEHIND"
check no-pull-seal    log      S16 "-DNO_PULL_SEAL"

# --- mutants: one rule taken away, S1 (two open guards) must break ---
check lease-too-long  lease S1 "-DONLY_S1 -DCR=0 -DTL=3"
check no-embargo      lease S1 "-DONLY_S1 -DEMB=0"
check short-embargo   lease S1 "-DONLY_S1 -DEMB=1"
check from-receipt    lease S1 "-DONLY_S1 -DCR=0 -DFROM_RECEIPT"
check open-fresh      lease S1 "-DONLY_S1 -DCR=0 -DOPEN_FRESH"
check stale-ack       lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DSTALE_ACK"
check obituary-live   lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DOBIT_LIVE"
check obituary-tree   lease S1 "-DONLY_S1 -DNO_TICK -DOBIT_TREE"
check resign-open     lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DRESIGN_OPEN"
check resign-any      lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DRESIGN_ANY"
check resign-stale    lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DEMAX=3 -DSTALE_RESIGN"
check withdraw-stale  lease S1 "-DONLY_S1 -DCR=0 -DNO_TICK -DEMAX=3 -DSTALE_WITHDRAW"
check second-heir     handover S1 "-DLOSS=2 -DSECOND_HEIR"
check heir-guard-open handover S1 "-DLOSS=2 -DRESIGN_OPEN"
check slow-news       handover S1 "-DLOSS=2 -DSLOW_NEWS"

# --- mutants: S2 (master epochs unique and growing) must break ---
check no-persist      lease S2 "-DNO_PERSIST"
check early-ack       lease S2 "-DDISK -DEARLY_ACK -DTP=1 -DTL=1"
check early-claim     lease S2 "-DDISK -DEARLY_CLAIM -DTP=1 -DTL=1"
check re-epoch-alone  lease S2 "-DCR=0 -DREEP -DREEP_ALONE"

# --- the big searches ---
if [ "$mode" = full ]; then
	check repeated      lease none "-DCR=1 -DDUP"
	check saving        lease none "-DCR=1 -DDISK"
	check re-epoch-3    lease none "-DCR=0 -DREEP -DEMAX=3"
	check together-late lease none "-DDISK -DREEP -DDUP -DLATE -DTP=1 -DTL=1"
	check embargo-end   lease none "-DCR=1 -DEMB_END"
fi

[ "$ran" = 1 ] || { echo "model: no configuration is called $want" >&2; exit 2; }
[ "$failed" = 0 ] || { echo "model: FAILED" >&2; exit 1; }
[ "$mode" = trail ] || echo "model: all as expected"
