#!/bin/sh
# sink.sh ID FILE TOKEN puts the order into $OUTBOX, each id once: a folder that
# stands for who receives, the same one for all instances. A link is made or is
# not, also when two try at once; a copy could be left half done.
#
# An id that is there already is no fault: a message in doubt is sent again.
set -eu
if [ $# -ne 3 ]; then
	echo "usage: OUTBOX=FOLDER ${0##*/} ID FILE TOKEN" >&2
	exit 2
fi
: "${OUTBOX:?is not set: name the folder that the orders go to}"
id=$1
tmp=$OUTBOX/.$$-$id
cp "$2" "$tmp"
ln "$tmp" "$OUTBOX/$id" 2>/dev/null || [ -e "$OUTBOX/$id" ]
rm "$tmp"
