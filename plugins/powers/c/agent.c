/* `powers`: asks the host for what its input names. What there is stands in `../README.md`. */

#include "bandstand.h"

static bandstand_outcome one(const char *name, bandstand_json *value) {
    bandstand_json *output = bandstand_object();
    bandstand_set(output, name, value);
    return bandstand_reply(output);
}

static bandstand_outcome slot(bandstand_error *error) {
    bandstand_json *persona = bandstand_object(), *kept, *left;
    bandstand_set(persona, "tone", bandstand_string(bandstand_text_of("dry")));
    if (!bandstand_slot_set("persona", persona, error) || !bandstand_slot_get("persona", &kept, error) ||
        !bandstand_slot_set("persona", bandstand_null(), error) || !bandstand_slot_get("persona", &left, error))
        return bandstand_refused(error);
    bandstand_json *output = bandstand_object();
    bandstand_set(output, "kept", kept);
    bandstand_set(output, "emptied", bandstand_boolean(left == NULL));
    return bandstand_reply(output);
}

static bandstand_outcome facts(bandstand_error *error) {
    bandstand_text id;
    bandstand_json *hits, *found = bandstand_list();
    if (!bandstand_fact_put(bandstand_text_of("Bees make honey"), &id, error) ||
        !bandstand_fact_put(bandstand_text_of("Ants do not"), &id, error) ||
        !bandstand_facts_search(bandstand_text_of("honey"), 5, &hits, error))
        return bandstand_refused(error);
    for (size_t index = 0; index < hits->count; index++) bandstand_push(found, bandstand_member(hits->items[index], "text"));
    return one("found", found);
}

bandstand_outcome bandstand_run(const bandstand_call *call) {
    bandstand_input input = bandstand_read_input(call);
    bandstand_text asked = bandstand_need_text(&input, "do"), name = bandstand_may_text(&input, "name"), answer;
    if (input.misfit) return bandstand_misfit(&input);
    bandstand_error error;
    bandstand_json *payload = bandstand_object(), *gave;
    if (bandstand_text_is(asked, "nothing")) return bandstand_reply(bandstand_object());
    if (bandstand_text_is(asked, "slot")) return slot(&error);
    if (bandstand_text_is(asked, "facts")) return facts(&error);
    if (bandstand_text_is(asked, "audit")) {
        bandstand_set(payload, "n", bandstand_number(1));
        if (!bandstand_audit_append("noted", payload, &error)) return bandstand_refused(&error);
        return one("appended", bandstand_boolean(true));
    }
    if (bandstand_text_is(asked, "model")) {
        if (!bandstand_ask("small", "Be brief.", bandstand_text_of("Greet me."), &answer, &error)) return bandstand_refused(&error);
        return one("text", bandstand_string(answer));
    }
    if (bandstand_text_is(asked, "tool")) {
        /* With a zero at its end. */
        char *named = bandstand_keep(NULL, name.len + 1);
        for (size_t at = 0; at < name.len; at++) named[at] = name.ptr[at];
        if (!bandstand_tool_call(named, bandstand_member(input.value, "args"), &gave, &error)) return bandstand_refused(&error);
        return one("gave", gave);
    }
    return bandstand_permanent("not-covered", "the SDK for C has no such function");
}
