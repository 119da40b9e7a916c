#!/bin/sh
# A workload in shell that tells the cluster where its messages are.
#
#	OUTBOX=FOLDER interlok-ha run -- examples/steps-shell/orders.sh INBOX SINK
#
# Each file in INBOX is an order, its name the id. It is validated, then given
# to SINK, a command that is called with the id, the file and the fencing token,
# and must take each id once. sink.sh is one: it puts the order into the folder
# that OUTBOX names, which has to be the same for all instances. When a master
# dies, its successor knows which orders were under way, and which of them may be
# out already.
#
# Needs curl 7.76 or later.
set -eu
if [ $# -ne 2 ]; then
	echo "usage: interlok-ha run -- ${0##*/} INBOX SINK" >&2
	exit 2
fi
if [ -z "${INTERLOK_HA_SOCKET:-}" ]; then
	echo "${0##*/}: INTERLOK_HA_SOCKET is not set: start it with interlok-ha run -- ${0##*/} INBOX SINK" >&2
	exit 2
fi
if ! [ -d "$1" ]; then
	echo "${0##*/}: INBOX is no folder: $1" >&2
	exit 2
fi
inbox=$1
sink=$2

# call PATH [CURL OPTION...]. An answer that is no success ends the script:
# `interlok-ha run` starts it again, or another instance is master by now.
call() {
	path=$1
	shift
	curl -sS --fail-with-body --unix-socket "$INTERLOK_HA_SOCKET" "$@" "http://instance$path"
}

# report STEPS, one or an array. "Too much at once" is 429, "no slave in step"
# 503: curl tries again after a second. Without -o, for curl cannot empty
# /dev/null between two tries.
report() {
	if ! said=$(call /v1/steps --retry 10 --retry-delay 1 -H 'Content-Type: application/json' --data-binary "$1"); then
		echo "not taken: $said" >&2 # one answer for each try; "detail" says why
		exit 1
	fi
}

# step ID KIND NAME PHASE [MORE] is one step as JSON.
step() {
	printf '{"id":"%s","kind":"%s","step":"%s","phase":"%s"%s}' "$1" "$2" "$3" "$4" "${5:-}"
}

# done_before ID: was it finished, here or by a predecessor?
done_before() {
	call "/v1/cache/FAILOVER_CACHE/$1" 2>/dev/null | grep -q '"state":"done"'
}

work() {
	id=$1
	file=$inbox/$id
	if done_before "$id"; then
		rm "$file"
		return
	fi
	report "$(step "$id" workflow orders started)"
	if ! [ -s "$file" ]; then
		report "[$(step "$id" service validate failed ',"error":"the order is empty"'),$(step "$id" workflow orders failed)]"
		mv "$file" "$inbox/.bad-$id"
		return
	fi
	# The fence: a successor knows of the producer's start when this returns, or
	# it does not return well, and nothing is published.
	report "[$(step "$id" service validate completed),$(step "$id" producer publish started ',"fence":true')]"
	if "$sink" "$id" "$file" "$(cat "$INTERLOK_HA_TOKEN_FILE")"; then
		report "[$(step "$id" producer publish completed),$(step "$id" workflow orders completed)]"
		rm "$file"
	else
		report "[$(step "$id" producer publish failed ',"error":"the sink does not take it"'),$(step "$id" workflow orders failed)]"
	fi
}

# What was under way when this began: an order with "doubt" may be out already.
left=$(call /v1/in-flight)
case $left in
*'"entries":[]'*) ;;
*) echo "left in flight: $left" ;;
esac

while :; do
	for file in "$inbox"/*; do
		case ${file##*/} in
		'*') ;;
		*[!A-Za-z0-9._-]*) echo "not an id: $file" >&2 ;; # it would have to be escaped in JSON
		*) work "${file##*/}" ;;
		esac
	done
	sleep 1
done
