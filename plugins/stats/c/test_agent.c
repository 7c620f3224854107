/* The agent off wasm: any C compiler over `agent.c`, this file and all of `../../sdk-c` but its wasm border. */
#undef NDEBUG
#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "bandstand_fake.h"

static void same(const char *text, const char *written) {
    bandstand_json *value = bandstand_json_read(bandstand_text_of(text));
    if (!written) {
        assert(!value);
        return;
    }
    assert(value);
    if (!bandstand_text_is(bandstand_json_write(value), written)) {
        fprintf(stderr, "%s is not written as %s\n", text, written);
        assert(false);
    }
}

static void json_is_read_and_written(void) {
    same(" { \"a\" : [ 1.50, -0, 1e3, true, false, null, {} , [] ] } ", "{\"a\":[1.5,0,1000,true,false,null,{},[]]}");
    same("\"\\u00e9\\ud83d\\ude00\\n\\\"\\\\\\/\"", "\"\xc3\xa9\xf0\x9f\x98\x80\\u000a\\\"\\\\/\"");
    same("[0.1,1e300,123456789012345680]", "[0.1,1e+300,1.2345678901234568e+17]");
    static const char *const bad[] = {"", "{", "[1,]", "{\"a\"}", "01", "1.", "+1", ".5", "\"\\x\"", "\"\\ud800\"", "\"\t\"", "nul", "1 2", "\"a"};
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) same(bad[index], NULL);
}

static void it_counts(void) {
    bandstand_outcome outcome = bandstand_fake_run("{\"text\":\"One two. Two!\"}");
    assert(outcome.ending == BANDSTAND_REPLY && isnan(outcome.confidence));
    assert(bandstand_text_is(bandstand_json_write(outcome.output),
                             "{\"characters\":13,\"words\":3,\"sentences\":2,\"paragraphs\":1,\"longest_word\":\"one\","
                             "\"words_per_sentence\":1.5,\"frequent\":[{\"word\":\"two\",\"count\":2},{\"word\":\"one\",\"count\":1}]}"));
    const bandstand_json *logged = bandstand_member(bandstand_fake_seen(), "logged");
    assert(logged->count == 1 && bandstand_text_is(logged->items[0]->text, "info counted {\"words\":3}"));
}

static void it_fails(const char *input, bandstand_ending ending, const char *code) {
    bandstand_outcome outcome = bandstand_fake_run(input);
    assert(outcome.ending == ending && bandstand_text_is(bandstand_text_of(outcome.code), code));
}

static void the_host_is_faked(void) {
    bandstand_error error;
    bandstand_json *value;
    assert(bandstand_slot_set("persona", bandstand_string(bandstand_text_of("dry")), &error));
    assert(bandstand_slot_get("persona", &value, &error) && bandstand_text_is(value->text, "dry"));
    assert(bandstand_slot_set("persona", bandstand_null(), &error));
    assert(bandstand_slot_get("persona", &value, &error) && !value);
    bandstand_text id;
    assert(bandstand_fact_put(bandstand_text_of("bees make honey"), &id, &error));
    assert(bandstand_facts_search(bandstand_text_of("honey"), 5, &value, &error) && value->count == 1);
    assert(!bandstand_tool_call("price", bandstand_object(), &value, &error) && error.kind == BANDSTAND_DENIED);
    assert(bandstand_refused(&error).ending == BANDSTAND_PERMANENT);
    bandstand_fake_answer("{\"price\":42}");
    assert(bandstand_tool_call("price", bandstand_object(), &value, &error) && bandstand_member(value, "price")->number == 42);
    bandstand_fake_deny_memory();
    assert(!bandstand_slot_get("persona", &value, &error) && error.kind == BANDSTAND_DENIED);
}

int main(void) {
    bandstand_fake_reset();
    json_is_read_and_written();
    it_counts();
    it_fails("{\"text\":\" - \"}", BANDSTAND_PERMANENT, "text-empty");
    it_fails("{\"text\":\"\",\"fail\":\"recoverable\"}", BANDSTAND_RECOVERABLE, "try-later");
    it_fails("{}", BANDSTAND_PERMANENT, "input-invalid");
    it_fails("{\"text\":1}", BANDSTAND_PERMANENT, "input-invalid");
    it_fails("{\"text\":\"a\",\"fail\":\"x\"}", BANDSTAND_PERMANENT, "input-invalid");
    the_host_is_faked();
    puts("ok");
}
