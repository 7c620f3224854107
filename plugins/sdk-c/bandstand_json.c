/* JSON in and out. Reading takes RFC 8259 and at most `DEPTH_MAX` levels. */
#include "bandstand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 128

typedef struct {
    const char *at, *end;
} reader;

static bandstand_json *make(bandstand_kind kind) {
    bandstand_json *value = bandstand_keep(NULL, sizeof *value);
    value->kind = kind;
    return value;
}

bandstand_json *bandstand_null(void) { return make(BANDSTAND_NULL); }
bandstand_json *bandstand_list(void) { return make(BANDSTAND_LIST); }
bandstand_json *bandstand_object(void) { return make(BANDSTAND_OBJECT); }

bandstand_json *bandstand_boolean(bool boolean) {
    bandstand_json *value = make(BANDSTAND_BOOLEAN);
    value->boolean = boolean;
    return value;
}

bandstand_json *bandstand_number(double number) {
    bandstand_json *value = make(BANDSTAND_NUMBER);
    value->number = number;
    return value;
}

bandstand_json *bandstand_string(bandstand_text text) {
    bandstand_json *value = make(BANDSTAND_TEXT);
    value->text = text;
    return value;
}

void bandstand_push(bandstand_json *list, bandstand_json *item) {
    /* Room doubles whenever the count is a power of two. */
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count ? list->count * 2 : 1;
        list->items = realloc(list->items, room * sizeof *list->items);
        if (list->kind == BANDSTAND_OBJECT) list->names = realloc(list->names, room * sizeof *list->names);
        if (!list->items || (list->kind == BANDSTAND_OBJECT && !list->names)) bandstand_crash("no memory is left");
    }
    list->items[list->count++] = item;
}

static void add(bandstand_json *object, bandstand_text name, bandstand_json *value) {
    bandstand_push(object, value);
    object->names[object->count - 1] = name;
}

void bandstand_set(bandstand_json *object, const char *name, bandstand_json *value) {
    add(object, bandstand_text_of(name), value);
}

bandstand_json *bandstand_member(const bandstand_json *value, const char *name) {
    if (!value || value->kind != BANDSTAND_OBJECT) return NULL;
    for (size_t index = value->count; index-- > 0;) {
        if (bandstand_text_is(value->names[index], name)) return value->items[index];
    }
    return NULL;
}

/* ---- Reading: every function gives NULL or false where the text is no JSON ---- */

static void blank(reader *in) {
    while (in->at < in->end && strchr(" \t\r\n", *in->at) && *in->at) in->at++;
}

static bool eat(reader *in, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(in->end - in->at) < len || memcmp(in->at, word, len) != 0) return false;
    in->at += len;
    return true;
}

static bool hex4(reader *in, uint32_t *into) {
    *into = 0;
    for (int digit = 0; digit < 4; digit++, in->at++) {
        if (in->at == in->end) return false;
        char c = *in->at;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (value < 0) return false;
        *into = *into * 16 + (uint32_t)value;
    }
    return true;
}

/* A code point after `\u`, of one or two halves. */
static bool code_point(reader *in, uint32_t *into) {
    uint32_t low;
    if (!hex4(in, into) || (*into >= 0xdc00 && *into < 0xe000)) return false;
    if (*into < 0xd800 || *into >= 0xe000) return true;
    if (!eat(in, "\\u") || !hex4(in, &low) || low < 0xdc00 || low >= 0xe000) return false;
    *into = 0x10000 + ((*into - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static char *utf8(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | (c >> (6 * more)));
    while (more-- > 0) *to++ = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
    return to;
}

static bool string(reader *in, bandstand_text *into) {
    if (!eat(in, "\"")) return false;
    /* What is read is never longer than what is written. */
    const char *close = in->at;
    while (close < in->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= in->end) return false;
    char *start = bandstand_keep(NULL, (size_t)(close - in->at) + 1), *to = start;
    while (*in->at != '"') {
        if ((unsigned char)*in->at < 0x20) return false;
        if (*in->at != '\\') {
            *to++ = *in->at++;
            continue;
        }
        static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        char escape = in->at[1];
        const char *found = escape ? strchr(escapes, escape) : NULL;
        in->at += 2;
        if (found) {
            *to++ = meant[found - escapes];
        } else {
            uint32_t c;
            if (escape != 'u' || !code_point(in, &c)) return false;
            to = utf8(to, c);
        }
    }
    in->at++;
    *into = (bandstand_text){start, (size_t)(to - start)};
    return true;
}

static bandstand_json *number(reader *in) {
    const char *start = in->at;
    eat(in, "-");
    if (!eat(in, "0")) {
        if (in->at == in->end || *in->at < '1' || *in->at > '9') return NULL;
        while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
    }
    for (int part = 0; part < 2; part++) {
        bool there = part == 0 ? eat(in, ".") : eat(in, "e") || eat(in, "E");
        if (!there) continue;
        if (part == 1 && !eat(in, "+")) eat(in, "-");
        const char *digits = in->at;
        while (in->at < in->end && *in->at >= '0' && *in->at <= '9') in->at++;
        if (in->at == digits) return NULL;
    }
    char *copy = bandstand_keep(NULL, (size_t)(in->at - start) + 1);
    memcpy(copy, start, (size_t)(in->at - start));
    return bandstand_number(strtod(copy, NULL));
}

static bandstand_json *value(reader *in, int depth) {
    blank(in);
    if (in->at == in->end || depth > DEPTH_MAX) return NULL;
    bandstand_text text;
    if (*in->at == '"') return string(in, &text) ? bandstand_string(text) : NULL;
    if (eat(in, "null")) return bandstand_null();
    if (eat(in, "true")) return bandstand_boolean(true);
    if (eat(in, "false")) return bandstand_boolean(false);
    if (*in->at != '[' && *in->at != '{') return number(in);
    bool named = *in->at++ == '{';
    bandstand_json *found = make(named ? BANDSTAND_OBJECT : BANDSTAND_LIST);
    const char *close = named ? "}" : "]";
    blank(in);
    if (eat(in, close)) return found;
    do {
        blank(in);
        if (named) {
            if (!string(in, &text)) return NULL;
            blank(in);
            if (!eat(in, ":")) return NULL;
        }
        bandstand_json *item = value(in, depth + 1);
        if (!item) return NULL;
        if (named) add(found, text, item);
        else bandstand_push(found, item);
        blank(in);
    } while (eat(in, ","));
    return eat(in, close) ? found : NULL;
}

bandstand_json *bandstand_json_read(bandstand_text text) {
    reader in = {text.ptr, text.ptr + text.len};
    bandstand_json *found = value(&in, 0);
    blank(&in);
    return in.at == in.end ? found : NULL;
}

/* ---- Writing ---- */

typedef struct {
    char *ptr;
    size_t len, room;
} writer;

static void put(writer *out, const char *bytes, size_t len) {
    if (out->len + len > out->room) {
        out->room = (out->len + len) * 2;
        out->ptr = realloc(out->ptr, out->room);
        if (!out->ptr) bandstand_crash("no memory is left");
    }
    memcpy(out->ptr + out->len, bytes, len);
    out->len += len;
}

static void put_word(writer *out, const char *word) { put(out, word, strlen(word)); }

static void put_text(writer *out, bandstand_text text) {
    put_word(out, "\"");
    for (size_t index = 0; index < text.len; index++) {
        unsigned char c = (unsigned char)text.ptr[index];
        if (c == '"' || c == '\\') put_word(out, "\\");
        if (c < 0x20) {
            const char *digits = "0123456789abcdef";
            char escaped[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            put(out, escaped, sizeof escaped);
        } else {
            put(out, &text.ptr[index], 1);
        }
    }
    put_word(out, "\"");
}

/* With as few digits as read back to the same number. */
static void put_number(writer *out, double number) {
    char digits[32];
    if (!isfinite(number)) {
        put_word(out, "null");
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, number);
        if (strtod(digits, NULL) == number) break;
    }
    /* A whole number is written whole, as other languages write it. */
    if (fabs(number) < 1e15 && number == trunc(number)) snprintf(digits, sizeof digits, "%.0f", number + 0.0);
    put_word(out, digits);
}

static void put_value(writer *out, const bandstand_json *value) {
    switch (value->kind) {
    case BANDSTAND_NULL: put_word(out, "null"); break;
    case BANDSTAND_BOOLEAN: put_word(out, value->boolean ? "true" : "false"); break;
    case BANDSTAND_NUMBER: put_number(out, value->number); break;
    case BANDSTAND_TEXT: put_text(out, value->text); break;
    case BANDSTAND_LIST:
    case BANDSTAND_OBJECT: {
        bool named = value->kind == BANDSTAND_OBJECT;
        put_word(out, named ? "{" : "[");
        for (size_t index = 0; index < value->count; index++) {
            if (index > 0) put_word(out, ",");
            if (named) {
                put_text(out, value->names[index]);
                put_word(out, ":");
            }
            put_value(out, value->items[index]);
        }
        put_word(out, named ? "}" : "]");
    }
    }
}

bandstand_text bandstand_json_write(const bandstand_json *value) {
    writer out = {NULL, 0, 0};
    put_value(&out, value);
    return (bandstand_text){out.ptr, out.len};
}
