#!/bin/sh
# Builds a function in JavaScript: build.sh SCRIPT OUTPUT. QUICKJS is where the sources of QuickJS are. They are compiled
# once, into the folder of the user's caches; that takes half a minute.
set -eu
here=$(dirname "$0") quickjs=${QUICKJS:-/usr/local/src/quickjs}
made=${XDG_CACHE_HOME:-$HOME/.cache}/deed-quickjs/$(cat "$quickjs"/quickjs.[ch] | cksum | tr ' ' -)
flags="--target=wasm32-wasi -O2 -w -D_GNU_SOURCE -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -I$quickjs"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for c in quickjs libregexp libunicode dtoa; do
	[ -e "$made/$c.o" ] && continue
	mkdir -p "$made"
	clang $flags -c "$quickjs/$c.c" -o "$work/$c.o"
	mv "$work/$c.o" "$made/$c.o"
done
{ echo 'const char script[] = {'; od -An -v -tu1 "$1" | sed 's/[0-9][0-9]*/&,/g'; echo '0};'; } >"$work/script.h"
clang $flags -I"$work" -mexec-model=reactor -Wl,-z,stack-size=1048576 -o "$2" "$here/host.c" "$made"/*.o \
	-lwasi-emulated-signal -lwasi-emulated-process-clocks -lm
