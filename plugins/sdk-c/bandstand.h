/* What an agent of Bandstand is written with in C: JSON, replies, failures, log, progress, memory, models and tools.
 *
 * An agent is one function:
 *
 *     bandstand_outcome bandstand_run(const bandstand_call *call) {
 *         bandstand_input input = bandstand_read_input(call);
 *         bandstand_text text = bandstand_need_text(&input, "text");
 *         if (input.misfit) return bandstand_misfit(&input);
 *         bandstand_json *output = bandstand_object();
 *         bandstand_set(output, "bytes", bandstand_number((double)text.len));
 *         return bandstand_reply(output);
 *     }
 *
 * Nothing here is ever freed, and agents need not free either: the instance with all its memory is thrown away after the call.
 * Without memory left the agent crashes. What the code does not call is not imported, so it needs no grant. On wasm
 * `bandstand_wasm.c` is linked in, in tests `bandstand_fake.c`.
 *
 * There is no HTTP here, and of memory and models a part: a node before the agent can make requests with `builtin:http`, and a tool
 * in another language can do the rest. */
#ifndef BANDSTAND_H
#define BANDSTAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text in UTF-8, which may hold zero bytes. `ptr` NULL: there is none. */
typedef struct {
    const char *ptr;
    size_t len;
} bandstand_text;

/* Zero-terminated text; NULL is none. */
bandstand_text bandstand_text_of(const char *text);
bool bandstand_text_is(bandstand_text text, const char *other);
/* A copy of `size` bytes of memory, which may be NULL for zeroes; crashes without memory. */
void *bandstand_keep(const void *bytes, size_t size);

/* ---- JSON ---- */

typedef enum {
    BANDSTAND_NULL,
    BANDSTAND_BOOLEAN,
    BANDSTAND_NUMBER,
    BANDSTAND_TEXT,
    BANDSTAND_LIST,
    BANDSTAND_OBJECT,
} bandstand_kind;

/* A value. Lists and objects have `count` items, those of objects with names. */
typedef struct bandstand_json {
    bandstand_kind kind;
    bool boolean;
    double number;
    bandstand_text text;
    size_t count;
    struct bandstand_json **items;
    bandstand_text *names;
} bandstand_json;

/* NULL where the text is no JSON. */
bandstand_json *bandstand_json_read(bandstand_text text);
/* A number that JSON has no form for (NaN, infinity) is written as null. */
bandstand_text bandstand_json_write(const bandstand_json *value);
/* The member of that name; NULL where there is none, or `value` is no object or NULL. */
bandstand_json *bandstand_member(const bandstand_json *value, const char *name);

bandstand_json *bandstand_null(void);
bandstand_json *bandstand_boolean(bool boolean);
bandstand_json *bandstand_number(double number);
bandstand_json *bandstand_string(bandstand_text text);
bandstand_json *bandstand_list(void);
bandstand_json *bandstand_object(void);
void bandstand_push(bandstand_json *list, bandstand_json *item);
/* Adds a member; a name is given once. */
void bandstand_set(bandstand_json *object, const char *name, bandstand_json *value);

/* ---- The call ---- */

/* One attempt at one node. */
typedef struct {
    bandstand_text run_id;
    /* The conversation or case that several runs share, if the run has one. */
    bandstand_text thread_id;
    /* The person on whose behalf the run goes on, if known. */
    bandstand_text user_id;
    bandstand_text workflow;
    /* Path of the node, with visits: `fan@1/law@1`. */
    bandstand_text node;
    /* How often the run has come to this node, this time included. */
    uint32_t visit;
    /* Which attempt of this visit this is, from 1, and the one after which the host gives up. */
    uint32_t attempt, attempts_max;
    /* The same for every attempt that might repeat one effect. */
    bandstand_text idempotency_key;
    /* RFC 3339. */
    bandstand_text started_at;
    /* How long the attempt may take, from `started_at`. */
    uint32_t timeout_ms;
    /* For the agent's own random numbers: another in every attempt, the same when it is replayed. */
    uint32_t seed;
    /* JSON text of an object; `bandstand_read_input` reads it. */
    bandstand_text input;
    /* What later hosts add: JSON text of an object. */
    bandstand_text context;
} bandstand_call;

/* The input being read. The first thing that does not fit is kept; everything read after it is empty. */
typedef struct {
    bandstand_json *value;
    const char *misfit;
} bandstand_input;

bandstand_input bandstand_read_input(const bandstand_call *call);
/* A member that must be there. */
bandstand_text bandstand_need_text(bandstand_input *input, const char *name);
double bandstand_need_number(bandstand_input *input, const char *name);
/* A member that may be left out or null: then there is no text. */
bandstand_text bandstand_may_text(bandstand_input *input, const char *name);
/* The same, and it is one of these; a NULL ends them. */
bandstand_text bandstand_may_one_of(bandstand_input *input, const char *name, ...);

/* ---- The outcome ---- */

typedef struct {
    /* A key of the node's `route`. */
    const char *name;
    /* 0 to 1. */
    double confidence;
    /* For the routing record; NULL: none. */
    const char *reason;
} bandstand_choice;

typedef struct {
    /* One line: what is to be decided; and why the agent does not decide it alone. */
    const char *title, *reason;
    /* JSON Schema of a form for the reviewer; NULL: none. */
    const bandstand_json *form;
    /* What is to be approved; NULL: the whole output. */
    const bandstand_json *propose;
    /* How long the review stays open; 0: as the workflow file says. */
    uint32_t timeout_ms;
    /* Who may answer; none: anyone whom the workflow allows. */
    const char *const *reviewers;
    size_t reviewers_count;
    /* How many approvals it takes; 0 counts as 1. */
    uint32_t quorum;
} bandstand_review;

typedef enum { BANDSTAND_REPLY, BANDSTAND_RECOVERABLE, BANDSTAND_PERMANENT } bandstand_ending;

/* How an attempt ends. Made by the functions below; fields that differ are set afterwards. */
typedef struct {
    bandstand_ending ending;
    /* Of a reply: an object. */
    const bandstand_json *output;
    /* How sure the agent is, 0 to 1; NAN: it cannot tell. */
    double confidence;
    /* Where the run goes, the first of these that is set; else as the workflow file says. A node of the node's `goto` list; */
    const char *go_to;
    /* options for its `route`; */
    const bandstand_choice *choices;
    size_t choices_count;
    /* a person first. */
    const bandstand_review *review;
    /* Of a failure: a name for the cause in kebab-case, the agent's own, and the cause for people. */
    const char *code, *message;
    /* The earliest sensible time for another attempt, from now; 0: the policy's. */
    uint32_t retry_after_ms;
    /* What the node that handles the failure may want to see; NULL: nothing. */
    const bandstand_json *data;
} bandstand_outcome;

/* Done, with this output. What is no object fails the attempt with `output-invalid`. */
bandstand_outcome bandstand_reply(const bandstand_json *output);
/* Another attempt may help, not before `retry_after_ms` where that is not 0. */
bandstand_outcome bandstand_recoverable(const char *code, const char *message, uint32_t retry_after_ms);
/* The same input fails in the same way: no retry. */
bandstand_outcome bandstand_permanent(const char *code, const char *message);
/* The input does not fit: permanent, since another attempt gets the same. */
bandstand_outcome bandstand_misfit(const bandstand_input *input);

/* The agent, which the author writes. */
bandstand_outcome bandstand_run(const bandstand_call *call);

/* ---- The host ---- */

typedef enum {
    BANDSTAND_DENIED,
    BANDSTAND_INVALID,
    BANDSTAND_NOT_FOUND,
    BANDSTAND_LIMIT,
    BANDSTAND_UNAVAILABLE,
    BANDSTAND_CANCELLED,
    BANDSTAND_OTHER,
} bandstand_error_kind;

/* Why the host did not do as asked. */
typedef struct {
    bandstand_error_kind kind;
    const char *code, *message;
    /* 0: none. */
    uint32_t retry_after_ms;
} bandstand_error;

/* The failure of an attempt that does not handle an error: recoverable where another try may help. */
bandstand_outcome bandstand_refused(const bandstand_error *error);

typedef enum { BANDSTAND_TRACE, BANDSTAND_DEBUG, BANDSTAND_INFO, BANDSTAND_WARN, BANDSTAND_ERROR } bandstand_level;

/* A line for the operator. `fields` is an object with details, or NULL. Always allowed. */
void bandstand_log(bandstand_level level, const char *message, const bandstand_json *fields);
/* How far the work is, 0 to 1 or NAN, and what is being done. Always allowed. */
void bandstand_progress(double fraction, const char *message);
/* The next piece of a text that is being produced. Always allowed. */
void bandstand_chunk(bandstand_text text);
/* Ends the instance: a bug was met. The message and the place become the attempt's last words. */
_Noreturn void bandstand_crash_at(const char *message, const char *place);
#define BANDSTAND_PLACE_(line) #line
#define BANDSTAND_PLACE(line) BANDSTAND_PLACE_(line)
#define bandstand_crash(message) bandstand_crash_at(message, __FILE__ ":" BANDSTAND_PLACE(__LINE__))
/* Crashes where the claim is false. The C library's `assert` and `abort` crash, too, but the host hears no words, and zig's
 * optimised builds leave `assert` out. */
#define bandstand_assert(claim) ((claim) ? (void)0 : bandstand_crash("assertion failed: " #claim))

/* The functions below ask the host. They give false where it refuses, and say why in `error`. */

/* Appends to the audit under this call's user, thread and node. Grant `memory`. */
bool bandstand_audit_append(const char *action, const bandstand_json *payload, bandstand_error *error);
/* Keeps a note among the facts; `id` is its name. Grant `memory`. */
bool bandstand_fact_put(bandstand_text note, bandstand_text *id, bandstand_error *error);
/* The facts that hold these words best: a list of `{ id, score, text, kind, source }`. Grant `memory`. */
bool bandstand_facts_search(bandstand_text words, uint32_t limit, bandstand_json **hits, bandstand_error *error);
/* A named place of the thread; `value` is NULL where nothing was set. Grant `memory`. */
bool bandstand_slot_get(const char *name, bandstand_json **value, bandstand_error *error);
/* JSON null empties it. Grant `memory`. */
bool bandstand_slot_set(const char *name, const bandstand_json *value, bandstand_error *error);
/* Asks a model, the grant's first where `model` is NULL, and waits for its words. `system` are instructions, or NULL. Grant `model`. */
bool bandstand_ask(const char *model, const char *system, bandstand_text question, bandstand_text *answer, bandstand_error *error);
/* Calls a tool with an object and waits for its output. Grant `tools`. */
bool bandstand_tool_call(const char *name, const bandstand_json *arguments, bandstand_json **output, bandstand_error *error);

#endif
