/* The border to the host, on wasm only: what turns the SDK's values into those of the bindings, which `wit-bindgen c` makes of the
 * world `agent`. The linker drops what the agent does not call, and with it the import. */
#include "agent.h"
#include "bandstand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The bindings ask for it, to have an object file linked in which holds the component's type. `bandstand plugin build` embeds the
 * type itself. */
void __component_type_object_force_link_agent(void);
void __component_type_object_force_link_agent(void) {}

/* Borrowed by the host for one call. */
static agent_string_t lend(bandstand_text text) {
    return (agent_string_t){(uint8_t *)text.ptr, text.len};
}

static agent_string_t lend_word(const char *word) { return lend(bandstand_text_of(word ? word : "")); }

/* Given to the host, whose bindings free it: a copy of its own. */
static agent_string_t give(bandstand_text text) {
    if (text.len == 0) return (agent_string_t){NULL, 0};
    return (agent_string_t){bandstand_keep(text.ptr, text.len), text.len};
}

static agent_string_t give_word(const char *word) { return give(bandstand_text_of(word ? word : "")); }

static bandstand_text text(agent_string_t raw) {
    return (bandstand_text){raw.ptr ? (const char *)raw.ptr : "", raw.len};
}

static bandstand_text maybe(agent_option_string_t raw) {
    return raw.is_some ? text(raw.val) : (bandstand_text){NULL, 0};
}

static const char *word(agent_string_t raw) {
    char *copy = bandstand_keep(NULL, raw.len + 1);
    if (raw.len) memcpy(copy, raw.ptr, raw.len);
    return copy;
}

/* JSON of the host; what is none stays visible as text. */
static bandstand_json *json(agent_string_t raw) {
    bandstand_json *value = bandstand_json_read(text(raw));
    return value ? value : bandstand_string(text(raw));
}

static bool refuse(const bandstand_agent_types_error_t *raw, bandstand_error *error) {
    /* The kinds have the same order. */
    *error = (bandstand_error){(bandstand_error_kind)raw->kind, word(raw->code), word(raw->message),
                               raw->retry_after_ms.is_some ? raw->retry_after_ms.val : 0};
    return false;
}

void bandstand_log(bandstand_level level, const char *message, const bandstand_json *fields) {
    agent_string_t said = lend_word(message);
    agent_string_t details = fields ? lend(bandstand_json_write(fields)) : lend_word("");
    bandstand_agent_log_write((bandstand_agent_log_level_t)level, &said, &details);
}

void bandstand_progress(double fraction, const char *message) {
    agent_string_t said = lend_word(message);
    bandstand_agent_progress_report(isnan(fraction) ? NULL : &fraction, &said);
}

void bandstand_chunk(bandstand_text piece) {
    agent_string_t raw = lend(piece);
    bandstand_agent_progress_chunk(&raw);
}

_Noreturn void bandstand_crash_at(const char *message, const char *place) {
    agent_string_t said = lend_word(message), where = lend_word(place);
    bandstand_agent_log_last_words(&said, &where);
    __builtin_trap();
}

bool bandstand_audit_append(const char *action, const bandstand_json *payload, bandstand_error *error) {
    bandstand_agent_memory_audit_entry_t entry = {lend_word(action), lend(bandstand_json_write(payload)), {NULL, 0}};
    agent_string_t id;
    bandstand_agent_types_error_t refused;
    return bandstand_agent_memory_audit_append(&entry, &id, &refused) || refuse(&refused, error);
}

bool bandstand_fact_put(bandstand_text note, bandstand_text *id, bandstand_error *error) {
    bandstand_agent_memory_facts_fact_t fact = {
        .text = lend(note), .kind = lend_word("note"), .salience = 0.5, .confidence = 0.5, .source = lend_word("")};
    bandstand_agent_memory_facts_list_fact_t facts = {&fact, 1};
    agent_list_string_t ids;
    bandstand_agent_types_error_t refused;
    if (!bandstand_agent_memory_facts_put(&facts, &ids, &refused)) return refuse(&refused, error);
    *id = text(ids.ptr[0]);
    return true;
}

bool bandstand_facts_search(bandstand_text words, uint32_t limit, bandstand_json **hits, bandstand_error *error) {
    bandstand_agent_memory_facts_query_t query = {
        .text = lend(words), .mode = BANDSTAND_AGENT_MEMORY_FACTS_SEARCH_MODE_KEYWORD, .limit = limit};
    bandstand_agent_memory_facts_list_hit_t found;
    bandstand_agent_types_error_t refused;
    if (!bandstand_agent_memory_facts_search(&query, &found, &refused)) return refuse(&refused, error);
    *hits = bandstand_list();
    for (size_t index = 0; index < found.len; index++) {
        bandstand_json *hit = bandstand_object();
        bandstand_set(hit, "id", bandstand_string(text(found.ptr[index].id)));
        bandstand_set(hit, "score", bandstand_number(found.ptr[index].score));
        bandstand_set(hit, "text", bandstand_string(text(found.ptr[index].fact.text)));
        bandstand_set(hit, "kind", bandstand_string(text(found.ptr[index].fact.kind)));
        bandstand_set(hit, "source", bandstand_string(text(found.ptr[index].fact.source)));
        bandstand_push(*hits, hit);
    }
    return true;
}

bool bandstand_slot_get(const char *name, bandstand_json **value, bandstand_error *error) {
    agent_string_t raw = lend_word(name);
    bandstand_agent_memory_slots_option_json_t found;
    bandstand_agent_types_error_t refused;
    if (!bandstand_agent_memory_slots_get(&raw, &found, &refused)) return refuse(&refused, error);
    *value = found.is_some ? json(found.val) : NULL;
    return true;
}

bool bandstand_slot_set(const char *name, const bandstand_json *value, bandstand_error *error) {
    agent_string_t raw = lend_word(name), told = lend(bandstand_json_write(value));
    bandstand_agent_types_error_t refused;
    return bandstand_agent_memory_slots_set(&raw, &told, &refused) || refuse(&refused, error);
}

bool bandstand_ask(const char *model, const char *system, bandstand_text question, bandstand_text *answer, bandstand_error *error) {
    bandstand_agent_model_part_t said[] = {
        {.tag = BANDSTAND_AGENT_MODEL_PART_TEXT, .val.text = lend_word(system)},
        {.tag = BANDSTAND_AGENT_MODEL_PART_TEXT, .val.text = lend(question)},
    };
    bandstand_agent_model_message_t talk[] = {
        {BANDSTAND_AGENT_MODEL_ROLE_SYSTEM, {&said[0], 1}},
        {BANDSTAND_AGENT_MODEL_ROLE_USER, {&said[1], 1}},
    };
    size_t skipped = system ? 0 : 1;
    bandstand_agent_model_request_t request = {
        .model = {model != NULL, lend_word(model)}, .messages = {talk + skipped, 2 - skipped}};
    bandstand_agent_model_response_t response;
    bandstand_agent_types_error_t refused;
    if (!bandstand_agent_model_chat(&request, &response, &refused)) return refuse(&refused, error);
    *answer = text(response.text);
    return true;
}

bool bandstand_tool_call(const char *name, const bandstand_json *arguments, bandstand_json **output, bandstand_error *error) {
    agent_string_t raw = lend_word(name), told = lend(bandstand_json_write(arguments)), found;
    bandstand_agent_types_error_t refused;
    if (!bandstand_agent_tools_call(&raw, &told, &found, &refused)) return refuse(&refused, error);
    *output = json(found);
    return true;
}

static double in_unit(double number) { return number >= 0 ? (number > 1 ? 1 : number) : 0; }

static bandstand_agent_types_option_json_t give_json(const bandstand_json *value) {
    if (!value) return (bandstand_agent_types_option_json_t){.is_some = false};
    return (bandstand_agent_types_option_json_t){true, give(bandstand_json_write(value))};
}

static bandstand_agent_types_next_t next(const bandstand_outcome *outcome) {
    bandstand_agent_types_next_t next = {.tag = BANDSTAND_AGENT_TYPES_NEXT_EDGES};
    if (outcome->go_to) {
        next.tag = BANDSTAND_AGENT_TYPES_NEXT_GOTO;
        next.val.goto_ = give_word(outcome->go_to);
    } else if (outcome->choices) {
        next.tag = BANDSTAND_AGENT_TYPES_NEXT_CHOOSE;
        size_t count = outcome->choices_count;
        bandstand_agent_types_choice_t *raw = bandstand_keep(NULL, count * sizeof *raw);
        for (size_t index = 0; index < count; index++) {
            const bandstand_choice *choice = &outcome->choices[index];
            raw[index].name = give_word(choice->name);
            raw[index].confidence = in_unit(choice->confidence);
            raw[index].reason = (agent_option_string_t){choice->reason != NULL, give_word(choice->reason)};
        }
        next.val.choose = (bandstand_agent_types_list_choice_t){raw, count};
    } else if (outcome->review) {
        const bandstand_review *review = outcome->review;
        next.tag = BANDSTAND_AGENT_TYPES_NEXT_REVIEW;
        agent_string_t *reviewers = bandstand_keep(NULL, review->reviewers_count * sizeof *reviewers);
        for (size_t index = 0; index < review->reviewers_count; index++) reviewers[index] = give_word(review->reviewers[index]);
        next.val.review = (bandstand_agent_types_review_request_t){
            .title = give_word(review->title),
            .reason = give_word(review->reason),
            .form = give_json(review->form),
            .propose = give_json(review->propose),
            .timeout_ms = {review->timeout_ms != 0, review->timeout_ms},
            .reviewers = {reviewers, review->reviewers_count},
            .quorum = review->quorum ? review->quorum : 1,
        };
    }
    return next;
}

bool exports_bandstand_agent_node_run(exports_bandstand_agent_node_call_t *raw, exports_bandstand_agent_node_reply_t *ret,
                                      exports_bandstand_agent_node_failure_t *err) {
    bandstand_call call = {
        .run_id = text(raw->run_id),
        .thread_id = maybe(raw->thread_id),
        .user_id = maybe(raw->user_id),
        .workflow = text(raw->workflow),
        .node = text(raw->node),
        .visit = raw->visit,
        .attempt = raw->attempt,
        .attempts_max = raw->attempts_max,
        .idempotency_key = text(raw->idempotency_key),
        .started_at = text(raw->started_at),
        .timeout_ms = raw->timeout_ms,
        .seed = raw->seed,
        .input = text(raw->input),
        .context = text(raw->context),
    };
    bandstand_outcome outcome = bandstand_run(&call);
    if (outcome.ending == BANDSTAND_REPLY) {
        ret->output = give(bandstand_json_write(outcome.output));
        ret->confidence = (agent_option_f64_t){!isnan(outcome.confidence), in_unit(outcome.confidence)};
        ret->next = next(&outcome);
        return true;
    }
    err->kind = outcome.ending == BANDSTAND_RECOVERABLE ? BANDSTAND_AGENT_TYPES_FAILURE_KIND_RECOVERABLE
                                                        : BANDSTAND_AGENT_TYPES_FAILURE_KIND_PERMANENT;
    err->code = give_word(outcome.code);
    err->message = give_word(outcome.message);
    err->retry_after_ms = (agent_option_u32_t){outcome.retry_after_ms != 0, outcome.retry_after_ms};
    err->data = give_json(outcome.data);
    return false;
}
