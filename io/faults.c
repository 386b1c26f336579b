/* The list of records. Between ranks a record travels as three numbers and its texts, each ended by
 * a 0 byte. */
#include "io/faults.h"

#include "io/alloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TAG_LENGTH = 11, NUMBERS = 3 }; /* "(0020,0032)" */

static void drop_texts(fault *f) {
    for (int k = 0; k < FAULT_TEXTS; k++) free((void *)(uintptr_t)f->text[k]);
}

status fault_add(fault_list *list, const fault *what) {
    if (list->count == list->capacity) {
        const int64_t capacity = list->capacity ? 2 * list->capacity : 32;
        int64_t bytes = 0;
        void *grown = NULL;
        if (size_mul(capacity, sizeof *list->items, &bytes))
            grown = realloc(list->items, (size_t)bytes);
        if (!grown) return status_memory("the list of faults", bytes);
        list->items = grown;
        list->capacity = capacity;
    }
    fault *f = &list->items[list->count];
    bool whole = true;
    *f = *what;
    for (int k = 0; k < FAULT_TEXTS; k++) {
        f->text[k] = strdup(what->text[k] ? what->text[k] : "");
        whole &= f->text[k] != NULL;
    }
    if (whole) {
        list->count++;
        return ST_OK;
    }
    drop_texts(f);
    return status_memory("the list of faults", sizeof *f);
}

/* The tag that a message names: "Keyword (gggg,eeee)". "" if it names none. */
static void find_tag(const char *message, char *out, size_t size) {
    out[0] = '\0';
    for (const char *at = strchr(message, '('); at; at = strchr(at + 1, '(')) {
        bool is_tag = strlen(at) >= TAG_LENGTH && at[5] == ',' && at[TAG_LENGTH - 1] == ')';
        for (int k = 1; is_tag && k < TAG_LENGTH - 1; k++)
            is_tag = k == 5 || isxdigit((unsigned char)at[k]);
        if (!is_tag) continue;
        const char *first = at > message && at[-1] == ' ' ? at - 1 : at;
        while (first > message && isalnum((unsigned char)first[-1])) first--;
        snprintf(out, size, "%.*s", (int)(at + TAG_LENGTH - first), first);
        return;
    }
}

/* A quoted number, or several of them. "" if there is none. */
static void find_value(const char *message, char *out, size_t size) {
    const char *first = strchr(message, '\'');
    const char *last = first ? strchr(first + 1, '\'') : NULL;
    out[0] = '\0';
    if (!last) return;
    const size_t length = (size_t)(last - first - 1);
    if (strspn(first + 1, "0123456789+-.,eE\\ ") == length)
        snprintf(out, size, "%.*s", (int)length, first + 1);
}

bool fault_message_is_of(const char *path) {
    const char *message = status_message();
    const size_t length = strlen(path);
    return length > 0 && strncmp(message, path, length) == 0 && message[length] == ':';
}

status fault_add_message(fault_list *list, const fault *what) {
    char tag[160], value[160], message[1024];
    snprintf(message, sizeof message, "%s", status_message());
    const char *reason = message, *path = what->text[FAULT_PATH] ? what->text[FAULT_PATH] : "";
    if (fault_message_is_of(path)) reason += strlen(path) + 1;
    reason += strspn(reason, " ");
    find_tag(reason, tag, sizeof tag);
    find_value(reason, value, sizeof value);
    fault f = *what;
    f.text[FAULT_REASON] = reason;
    if (!f.text[FAULT_TAG]) f.text[FAULT_TAG] = tag;
    if (!f.text[FAULT_VALUE]) f.text[FAULT_VALUE] = value;
    return fault_add(list, &f);
}

void faults_cut(fault_list *list, int64_t count) {
    while (list->count > count) drop_texts(&list->items[--list->count]);
}

void faults_free(fault_list *list) {
    faults_cut(list, 0);
    free(list->items);
    *list = (fault_list){0};
}

static int by_path(const void *left, const void *right) {
    const fault *a = left, *b = right;
    int order = strcmp(a->text[FAULT_PATH], b->text[FAULT_PATH]);
    if (order == 0) order = strcmp(a->text[FAULT_REASON], b->text[FAULT_REASON]);
    return order ? order : (int)a->scope - (int)b->scope;
}

status faults_encode(const fault_list *list, char **bytes, int64_t *length) {
    size_t size = 0;
    FILE *stream = open_memstream(bytes, &size);
    if (!stream) return status_memory("the list of faults", 0);
    for (int64_t i = 0; i < list->count; i++) {
        const fault *f = &list->items[i];
        const int64_t numbers[NUMBERS] = {(int64_t)f->scope, f->ordinary, f->files};
        for (int k = 0; k < NUMBERS; k++) fprintf(stream, "%" PRId64 "%c", numbers[k], '\0');
        for (int k = 0; k < FAULT_TEXTS; k++) fwrite(f->text[k], 1, strlen(f->text[k]) + 1, stream);
    }
    const bool failed = ferror(stream);
    if (fclose(stream) != 0 || failed) return status_memory("the list of faults", (int64_t)size);
    *length = (int64_t)size;
    return ST_OK;
}

/* The next of the 0-terminated texts; NULL after the last one. */
static const char *next_text(const char **at, const char *end) {
    const char *text = *at;
    const char *zero = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
    if (!zero) return NULL;
    *at = zero + 1;
    return text;
}

status faults_decode(fault_list *list, const char *bytes, int64_t length) {
    const char *at = bytes, *end = bytes + length;
    while (at < end) {
        fault f = {0};
        int64_t numbers[NUMBERS] = {0};
        bool whole = true;
        for (int k = 0; k < NUMBERS; k++) {
            const char *text = next_text(&at, end);
            if (text) numbers[k] = strtoll(text, NULL, 10);
            whole &= text != NULL;
        }
        for (int k = 0; k < FAULT_TEXTS; k++) whole &= (f.text[k] = next_text(&at, end)) != NULL;
        if (!whole) return status_fail(ST_INTERNAL, "a list of faults is cut");
        f.scope = (fault_scope)numbers[0];
        f.ordinary = numbers[1] != 0;
        f.files = numbers[2];
        status st = fault_add(list, &f);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

status faults_gather(const comm *c, fault_list *list) {
    char *mine = NULL;
    void *all = NULL;
    int64_t length = 0, total = 0;
    status st;
    TRY(comm_agree(c, faults_encode(list, &mine, &length)));
    TRY(comm_all_gather(c, mine, length, &all, &total, NULL));
    faults_cut(list, 0);
    st = faults_decode(list, all, total);
    if (st == ST_OK && list->count > 1)
        qsort(list->items, (size_t)list->count, sizeof *list->items, by_path);
    TRY(comm_agree(c, st));
done:
    free(mine);
    free(all);
    return st;
}

int64_t faults_count(const fault_list *list, fault_scope scope, bool strict, int64_t *files) {
    int64_t count = 0, all = 0;
    for (int64_t i = 0; i < list->count; i++) {
        const fault *f = &list->items[i];
        if (f->scope != scope || (strict && f->ordinary)) continue;
        count++;
        all += f->files;
    }
    if (files) *files = all;
    return count;
}
