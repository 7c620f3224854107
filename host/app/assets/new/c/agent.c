/* Tells how long a text takes to read. */
#include "bandstand.h"

/* How fast people read. */
#define WORDS_PER_MINUTE 200

static size_t count_words(bandstand_text text) {
    size_t words = 0;
    bool in_word = false;
    for (size_t at = 0; at < text.len; at++) {
        char c = text.ptr[at];
        bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        words += !blank && !in_word;
        in_word = !blank;
    }
    return words;
}

/* An input of another form fails the attempt with `input-invalid`. Nothing is ever freed: the instance with all its memory is
 * thrown away after the call. */
bandstand_outcome bandstand_run(const bandstand_call *call) {
    bandstand_input input = bandstand_read_input(call);
    bandstand_text text = bandstand_need_text(&input, "text");
    if (input.misfit) return bandstand_misfit(&input);

    size_t words = count_words(text);
    if (words == 0) return bandstand_permanent("text-empty", "`text` holds no word");

    bandstand_json *fields = bandstand_object();
    bandstand_set(fields, "words", bandstand_number((double)words));
    bandstand_log(BANDSTAND_INFO, "counted", fields);

    size_t minutes = (words + WORDS_PER_MINUTE - 1) / WORDS_PER_MINUTE;
    bandstand_json *output = bandstand_object();
    bandstand_set(output, "words", bandstand_number((double)words));
    bandstand_set(output, "minutes", bandstand_number((double)minutes));
    return bandstand_reply(output);
}
