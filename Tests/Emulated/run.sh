#!/usr/bin/env bash
# Runs the kernels of every x86 instruction set on an emulated processor, for machines that lack AVX-512:
#
#     Tests/Emulated/run.sh
#
# `kernels.c` is a program without an operating system: it compares AVX2, AVX-512 and AVX-512 VNNI with double precision and with the
# portable kernels, on Bochs' Ice Lake (two to five minutes). Bochs 2.7 has no AVX512_BF16; a second program has its instructions
# in software, by Intel's definition, and tries all that is around them. Debian packages: bochs, isolinux, genisoimage.
set -euo pipefail
cd "$(dirname "$0")"
for tool in bochs-bin genisoimage clang ld objcopy; do
    command -v $tool >/dev/null || {
        echo "$tool is missing; install it: apt-get install bochs bochsbios vgabios isolinux syslinux-common genisoimage binutils" >&2
        exit 1
    }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
kernels=../../Sources/CKernels

# program NAME LAST_LEVEL [options]: an image that a multiboot loader starts.
program() {
    local name=$1 last=$2 flags objects=()
    shift 2
    flags=(-O2 -I"$kernels/include" -mno-red-zone -fno-stack-protector -fno-math-errno -fno-asynchronous-unwind-tables "$@")
    for source in attention elementwise linear normalization winograd; do
        # The level is the program's to choose, in all kernels.
        clang "${flags[@]}" -fPIE -fsemantic-interposition -c "$kernels/$source.c" -o "$folder/$source.o"
        objects+=("$folder/$source.o")
    done
    objcopy --weaken-symbol=us_best_level "$folder/elementwise.o"
    clang "${flags[@]}" -fno-pic -DLAST_LEVEL="$last" -c kernels.c -o "$folder/kernels.o"
    clang -c boot.S -o "$folder/boot.o"
    ld -n --no-warn-rwx-segments -T image.ld -o "$folder/$name.elf" "$folder/boot.o" "${objects[@]}" "$folder/kernels.o"
    mkdir -p "$folder/$name/isolinux"
    objcopy -O binary "$folder/$name.elf" "$folder/$name/kernels.bin"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/{ldlinux,mboot,libcom32}.c32 "$folder/$name/isolinux/"
    printf 'default kernels\nlabel kernels\n  kernel mboot.c32\n  append /kernels.bin\n' >"$folder/$name/isolinux/isolinux.cfg"
    genisoimage -quiet -o "$folder/$name.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
        -boot-info-table "$folder/$name"
}

# start NAME: prints what the program prints; fails unless all of it passed. Without a loudspeaker: where there is no sound card, Bochs
# writes beyond a buffer and is aborted.
start() {
    cat >"$folder/$1.rc" <<RC
megs: 256
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_icelake_u, count=1, ips=50000000, reset_on_triple_fault=0
ata0: enabled=1
ata0-master: type=cdrom, path=$folder/$1.iso, status=inserted
boot: cdrom
display_library: rfb, options="timeout=0"
log: $folder/$1.log
panic: action=fatal
port_e9_hack: enabled=1
plugin_ctrl: speaker=false
RC
    echo c >"$folder/continue"
    bochs-bin -q -f "$folder/$1.rc" -rc "$folder/continue" </dev/null 2>&1 | grep -aE --line-buffered '^(== |  ok|  FAIL|all passed|FAILED)' |
        tee "$folder/$1.out" || true
    grep -q '^all passed' "$folder/$1.out" || { tail -5 "$folder/$1.log" >&2; return 1; }
}

# Levels as in us_level.
program hardware 3
start hardware
program software 4 -include "$PWD/software_bf16.h"
start software
