/* Puts the style and the scripts into the program. The assembler reads them, with paths from the
 * top of the repository, where make compiles; the Makefile names them as prerequisites. */
#include "pipeline/report/assets.h"

#define ASSET(symbol, path)                                                                        \
    __asm__(".section .rodata\n"                                                                   \
            ".global " #symbol "\n" #symbol ":\n"                                                  \
            ".incbin \"pipeline/report/" path "\"\n"                                               \
            ".byte 0\n"                                                                            \
            ".previous\n")

ASSET(asset_style, "report.css");
ASSET(asset_tables, "tables.js");
ASSET(asset_contents, "contents.js");
ASSET(asset_viewer, "viewer.js");
