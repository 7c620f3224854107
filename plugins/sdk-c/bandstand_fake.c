/* See `bandstand_fake.h`. */
#include "bandstand_fake.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bandstand_json *logged, *shown, *audit, *facts, *slots;
static const char *answer;
static bool denied;

void bandstand_fake_reset(void) {
    logged = bandstand_list();
    shown = bandstand_list();
    audit = bandstand_list();
    facts = bandstand_list();
    slots = bandstand_object();
    answer = NULL;
    denied = false;
}

void bandstand_fake_answer(const char *text) { answer = text; }
void bandstand_fake_deny_memory(void) { denied = true; }

bandstand_outcome bandstand_fake_run(const char *input) {
    bandstand_call call = {
        .run_id = bandstand_text_of("run-1"), .workflow = bandstand_text_of("test"), .node = bandstand_text_of("node@1"),
        .visit = 1, .attempt = 1, .attempts_max = 4, .idempotency_key = bandstand_text_of("run-1/node@1"),
        .started_at = bandstand_text_of("2026-01-01T00:00:00Z"), .timeout_ms = 60000, .seed = 1,
        .input = bandstand_text_of(input), .context = bandstand_text_of("{}"),
    };
    return bandstand_run(&call);
}

const bandstand_json *bandstand_fake_seen(void) {
    bandstand_json *seen = bandstand_object();
    bandstand_set(seen, "logged", logged);
    bandstand_set(seen, "shown", shown);
    bandstand_set(seen, "audit", audit);
    return seen;
}

static void note(bandstand_json *list, const char *text) {
    bandstand_push(list, bandstand_string(bandstand_text_of(bandstand_keep(text, strlen(text) + 1))));
}

static bool refuse(bandstand_error *error, bandstand_error_kind kind, const char *code, const char *message) {
    *error = (bandstand_error){kind, code, message, 0};
    return false;
}

static bool granted(bandstand_error *error) {
    return !denied || refuse(error, BANDSTAND_DENIED, "memory-not-granted", "needs the grant `memory`");
}

void bandstand_log(bandstand_level level, const char *message, const bandstand_json *fields) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    char line[1024];
    bandstand_text details = fields ? bandstand_json_write(fields) : bandstand_text_of("");
    snprintf(line, sizeof line, "%s %s%s%.*s", names[level], message, details.len ? " " : "", (int)details.len, details.ptr);
    note(logged, line);
}

void bandstand_progress(double fraction, const char *message) {
    char line[1024];
    if (isnan(fraction)) snprintf(line, sizeof line, "%s", message);
    else snprintf(line, sizeof line, "%.2f %s", fraction, message);
    note(shown, line);
}

void bandstand_chunk(bandstand_text text) { bandstand_push(shown, bandstand_string(text)); }

_Noreturn void bandstand_crash_at(const char *message, const char *place) {
    fprintf(stderr, "%s\n%s\n", message, place);
    abort();
}

bool bandstand_audit_append(const char *action, const bandstand_json *payload, bandstand_error *error) {
    (void)payload;
    if (!granted(error)) return false;
    note(audit, action);
    return true;
}

bool bandstand_fact_put(bandstand_text text, bandstand_text *id, bandstand_error *error) {
    if (!granted(error)) return false;
    char name[32];
    snprintf(name, sizeof name, "fact-%zu", facts->count + 1);
    *id = bandstand_text_of(bandstand_keep(name, strlen(name) + 1));
    bandstand_json *fact = bandstand_object();
    bandstand_set(fact, "id", bandstand_string(*id));
    bandstand_set(fact, "score", bandstand_number(1));
    bandstand_set(fact, "text", bandstand_string(text));
    bandstand_set(fact, "kind", bandstand_string(bandstand_text_of("note")));
    bandstand_set(fact, "source", bandstand_string(bandstand_text_of("")));
    bandstand_push(facts, fact);
    return true;
}

/* Facts that hold `words` as they stand. */
bool bandstand_facts_search(bandstand_text words, uint32_t limit, bandstand_json **hits, bandstand_error *error) {
    if (!granted(error)) return false;
    *hits = bandstand_list();
    for (size_t index = facts->count; index-- > 0 && (*hits)->count < limit;) {
        bandstand_text text = bandstand_member(facts->items[index], "text")->text;
        bool found = words.len == 0;
        for (size_t at = 0; !found && at + words.len <= text.len; at++) found = memcmp(text.ptr + at, words.ptr, words.len) == 0;
        if (found) bandstand_push(*hits, facts->items[index]);
    }
    return true;
}

bool bandstand_slot_get(const char *name, bandstand_json **value, bandstand_error *error) {
    if (!granted(error)) return false;
    *value = bandstand_member(slots, name);
    if (*value && (*value)->kind == BANDSTAND_NULL) *value = NULL;
    return true;
}

bool bandstand_slot_set(const char *name, const bandstand_json *value, bandstand_error *error) {
    if (!granted(error)) return false;
    /* The last of a name counts. */
    bandstand_set(slots, name, bandstand_json_read(bandstand_json_write(value)));
    return true;
}

bool bandstand_ask(const char *model, const char *system, bandstand_text question, bandstand_text *text, bandstand_error *error) {
    (void)model, (void)system, (void)question;
    if (!answer) return refuse(error, BANDSTAND_NOT_FOUND, "no-answer", "call `bandstand_fake_answer` first");
    *text = bandstand_text_of(answer);
    return true;
}

bool bandstand_tool_call(const char *name, const bandstand_json *arguments, bandstand_json **output, bandstand_error *error) {
    (void)name;
    if (arguments->kind != BANDSTAND_OBJECT) return refuse(error, BANDSTAND_INVALID, "arguments-not-object", "arguments are a JSON object");
    if (!answer) return refuse(error, BANDSTAND_DENIED, "tools-not-granted", "call `bandstand_fake_answer` first");
    *output = bandstand_json_read(bandstand_text_of(answer));
    return true;
}
