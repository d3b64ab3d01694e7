#!/usr/bin/env bash
# Installs what builds the examples in other languages than Go, on a Debian machine, as root: clang and rustc with their
# libraries for WebAssembly, Zig, AssemblyScript, and the sources of QuickJS. Versions are pinned, those of Debian by its
# release. What is there already is left as it is.
set -euo pipefail
assemblyscript=0.28.20 zig=0.17.1 quickjs=0.14.0 # of the packages; the last is that of the crate rquickjs-sys
lib=/usr/local/lib/deed-toolchains               # where they go; commands are linked into /usr/local/bin
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

packages=(clang lld wasi-libc libclang-rt-dev-wasm32 rustc libstd-rust-dev-wasm32)
command -v cargo >/dev/null || packages+=(cargo)
command -v npm >/dev/null || packages+=(npm)
command -v pip3 >/dev/null || packages+=(python3-pip)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# fresh NAME VERSION: whether that version is to be installed, into a folder that is empty then.
fresh() {
  [ "$(cat "$lib/$1/version" 2>/dev/null)" = "$2" ] && return 1
  rm -rf "${lib:?}/$1" && mkdir -p "$lib/$1"
}

if fresh assemblyscript $assemblyscript; then
  npm install --silent --no-audit --no-fund --prefix "$lib/assemblyscript" assemblyscript@$assemblyscript
  ln -sf "$lib/assemblyscript/node_modules/.bin/asc" /usr/local/bin/asc
  echo $assemblyscript >"$lib/assemblyscript/version"
fi

if fresh zig $zig; then
  pip3 install --quiet --no-deps --target "$lib/zig" ziglang==$zig
  ln -sf "$lib/zig/ziglang/zig" /usr/local/bin/zig
  echo $zig >"$lib/zig/version"
fi

if fresh quickjs $quickjs; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cargo init --quiet --vcs none --name sources "$work/sources" >/dev/null 2>&1
  printf 'rquickjs-sys = "=%s"\n' $quickjs >>"$work/sources/Cargo.toml"
  (cd "$work/sources" && cargo vendor --quiet "$work/vendor" >/dev/null)
  cp -r "$work/vendor/rquickjs-sys/quickjs/." "$lib/quickjs/"
  ln -sfn "$lib/quickjs" /usr/local/src/quickjs
  echo $quickjs >"$lib/quickjs/version"
fi
