/* What needs no host: texts, the input and the outcome. JSON is in `bandstand_json.c`. */
#include "bandstand.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *bandstand_keep(const void *bytes, size_t size) {
    char *kept = malloc(size ? size : 1);
    if (!kept) bandstand_crash("no memory is left");
    if (bytes) memcpy(kept, bytes, size);
    else memset(kept, 0, size);
    return kept;
}

bandstand_text bandstand_text_of(const char *text) {
    return (bandstand_text){text, text ? strlen(text) : 0};
}

bool bandstand_text_is(bandstand_text text, const char *other) {
    return text.ptr && text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

/* The texts one after the other; a NULL ends them. */
static const char *join(const char *first, ...) {
    va_list more;
    size_t len = strlen(first);
    va_start(more, first);
    for (const char *each; (each = va_arg(more, const char *));) len += strlen(each);
    va_end(more);
    char *joined = bandstand_keep(NULL, len + 1), *end = joined + strlen(first);
    memcpy(joined, first, strlen(first));
    va_start(more, first);
    for (const char *each; (each = va_arg(more, const char *));) {
        memcpy(end, each, strlen(each));
        end += strlen(each);
    }
    va_end(more);
    return joined;
}

bandstand_input bandstand_read_input(const bandstand_call *call) {
    bandstand_input input = {bandstand_json_read(call->input), NULL};
    if (!input.value) input.misfit = "it is no JSON";
    else if (input.value->kind != BANDSTAND_OBJECT) input.misfit = "expected an object";
    return input;
}

/* The member where it is there and of that kind; NULL after a misfit, and where it may be missing and is. */
static bandstand_json *find(bandstand_input *input, const char *name, bandstand_kind kind, bool needed) {
    if (input->misfit) return NULL;
    bandstand_json *member = bandstand_member(input->value, name);
    bool absent = !member || (!needed && member->kind == BANDSTAND_NULL);
    if (absent && !needed) return NULL;
    if (absent) input->misfit = join("`", name, "` is missing", NULL);
    else if (member->kind != kind) input->misfit = join("/", name, ": expected ", kind == BANDSTAND_TEXT ? "text" : "a number", NULL);
    return input->misfit ? NULL : member;
}

bandstand_text bandstand_need_text(bandstand_input *input, const char *name) {
    bandstand_json *member = find(input, name, BANDSTAND_TEXT, true);
    return member ? member->text : (bandstand_text){NULL, 0};
}

double bandstand_need_number(bandstand_input *input, const char *name) {
    bandstand_json *member = find(input, name, BANDSTAND_NUMBER, true);
    return member ? member->number : 0;
}

bandstand_text bandstand_may_text(bandstand_input *input, const char *name) {
    bandstand_json *member = find(input, name, BANDSTAND_TEXT, false);
    return member ? member->text : (bandstand_text){NULL, 0};
}

bandstand_text bandstand_may_one_of(bandstand_input *input, const char *name, ...) {
    bandstand_text found = bandstand_may_text(input, name);
    if (!found.ptr) return found;
    bool known = false;
    const char *wanted = "";
    va_list options;
    va_start(options, name);
    for (const char *each; (each = va_arg(options, const char *));) {
        known = known || bandstand_text_is(found, each);
        wanted = join(wanted, *wanted ? " or " : "", "\"", each, "\"", NULL);
    }
    va_end(options);
    if (known) return found;
    input->misfit = join("/", name, ": expected ", wanted, NULL);
    return (bandstand_text){NULL, 0};
}

bandstand_outcome bandstand_reply(const bandstand_json *output) {
    if (!output || output->kind != BANDSTAND_OBJECT) {
        return bandstand_permanent("output-invalid", "an output must be a JSON object");
    }
    return (bandstand_outcome){.ending = BANDSTAND_REPLY, .output = output, .confidence = NAN};
}

bandstand_outcome bandstand_recoverable(const char *code, const char *message, uint32_t retry_after_ms) {
    return (bandstand_outcome){
        .ending = BANDSTAND_RECOVERABLE, .confidence = NAN, .code = code, .message = message, .retry_after_ms = retry_after_ms};
}

bandstand_outcome bandstand_permanent(const char *code, const char *message) {
    return (bandstand_outcome){.ending = BANDSTAND_PERMANENT, .confidence = NAN, .code = code, .message = message};
}

bandstand_outcome bandstand_misfit(const bandstand_input *input) {
    return bandstand_permanent("input-invalid", join("the input of this node does not fit: ", input->misfit, NULL));
}

bandstand_outcome bandstand_refused(const bandstand_error *error) {
    bool again = error->kind == BANDSTAND_UNAVAILABLE || error->kind == BANDSTAND_CANCELLED;
    if (again) return bandstand_recoverable(error->code, error->message, error->retry_after_ms);
    return bandstand_permanent(error->code, error->message);
}
