/* The agent on this machine, by `make test`; the host is played by `bandstand_fake.c`. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>

#include "bandstand_fake.h"

static void it_tells_how_long_a_text_takes(void) {
    bandstand_fake_reset();
    bandstand_outcome outcome = bandstand_fake_run("{\"text\":\"one two three\"}");
    assert(outcome.ending == BANDSTAND_REPLY);
    assert(bandstand_text_is(bandstand_json_write(outcome.output), "{\"words\":3,\"minutes\":1}"));
    const bandstand_json *logged = bandstand_member(bandstand_fake_seen(), "logged");
    assert(logged->count == 1 && bandstand_text_is(logged->items[0]->text, "info counted {\"words\":3}"));
}

static void a_text_without_a_word_is_refused(void) {
    bandstand_outcome outcome = bandstand_fake_run("{\"text\":\" \"}");
    assert(outcome.ending == BANDSTAND_PERMANENT && bandstand_text_is(bandstand_text_of(outcome.code), "text-empty"));
}

int main(void) {
    it_tells_how_long_a_text_takes();
    a_text_without_a_word_is_refused();
    puts("ok");
}
