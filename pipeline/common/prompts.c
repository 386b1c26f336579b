/* Divides the file into lines. */
#include "pipeline/common/prompts.h"

#include "io/alloc.h"
#include "model/text/grammar.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (INT64_C(1) << 20)

/* Takes the line at `text` as number `number` of the file, without blanks around it. */
static status take_line(prompts *p, const char *path, char *text, int64_t number) {
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r", text[n - 1])) n--;
    text[n] = '\0';
    if (n >= CAPTION_SIZE)
        return status_fail(ST_INPUT, "%s:%" PRId64 ": a prompt has at most %d bytes", path, number,
                           CAPTION_SIZE - 1);
    if (n > 0) p->line[p->count++] = text;
    return ST_OK;
}

status prompts_read(const char *path, prompts *out) {
    status st = ST_OK;
    prompts *p = out;
    int64_t bytes = 0, lines = 1, number = 0;
    *p = (prompts){0};
    TRY(file_read(path, BYTES_MAX, &p->text, &bytes));
    if ((int64_t)strlen(p->text) != bytes)
        TRY(status_fail(ST_INPUT, "%s: a text file has no 0 byte", path));
    TRY(file_sha256(path, p->sha256));
    for (int64_t i = 0; i < bytes; i++) lines += p->text[i] == '\n';
    TRY(array_alloc(&p->line, lines, sizeof *p->line, "prompts"));
    for (char *at = p->text, *next; at; at = next) {
        next = strchr(at, '\n');
        if (next) *next++ = '\0';
        TRY(take_line(p, path, at, ++number));
    }
    if (p->count == 0) st = status_fail(ST_INPUT, "%s: no line has a prompt", path);
done:
    return st;
}

void prompts_free(prompts *p) {
    free(p->text);
    free(p->line);
    *p = (prompts){0};
}

const char *prompts_of(const prompts *p, int64_t v) { return p->line[v % p->count]; }
