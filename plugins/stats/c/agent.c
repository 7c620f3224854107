/* `stats`: counts the words, sentences and paragraphs of a document. What it counts is laid down in `../README.md`. */
#include "bandstand.h"

#include <stdlib.h>
#include <string.h>

#define FREQUENT_MAX 5

typedef struct {
    bandstand_text word;
    size_t count;
} frequent;

static bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static char folded(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static int by_word(const void *a, const void *b) {
    const bandstand_text *left = a, *right = b;
    size_t shorter = left->len < right->len ? left->len : right->len;
    int order = memcmp(left->ptr, right->ptr, shorter);
    return order ? order : (left->len > right->len) - (left->len < right->len);
}

/* Words in order, so that those as frequent as each other stay in the alphabet's. */
static int by_count(const void *a, const void *b) {
    const frequent *left = a, *right = b;
    if (left->count != right->count) return left->count < right->count ? 1 : -1;
    return by_word(&left->word, &right->word);
}

/* The words of a text, folded; how many goes to `count`, and how many pieces between stops hold one to `sentences`. */
static bandstand_text *find_words(bandstand_text text, size_t *count, size_t *sentences) {
    char *copy = bandstand_keep(text.ptr, text.len);
    bandstand_text *words = bandstand_keep(NULL, (text.len / 2 + 1) * sizeof *words);
    bool in_sentence = false;
    *count = *sentences = 0;
    for (size_t at = 0; at < text.len; at++) {
        if (copy[at] == '.' || copy[at] == '!' || copy[at] == '?') in_sentence = false;
        if (!is_letter(copy[at])) continue;
        size_t start = at;
        while (at < text.len && (is_letter(copy[at]) || (copy[at] == '\'' && at + 1 < text.len && is_letter(copy[at + 1])))) {
            copy[at] = folded(copy[at]);
            at++;
        }
        words[(*count)++] = (bandstand_text){copy + start, at - start};
        *sentences += !in_sentence;
        in_sentence = true;
        at--;
    }
    return words;
}

/* How many runs of lines there are that are not blank. */
static size_t count_paragraphs(bandstand_text text) {
    size_t paragraphs = 0;
    bool before = false, filled = false;
    for (size_t at = 0; at <= text.len; at++) {
        char c = at < text.len ? text.ptr[at] : '\n';
        if (c == '\n') {
            paragraphs += filled && !before;
            before = filled;
            filled = false;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            filled = true;
        }
    }
    return paragraphs;
}

static size_t count_characters(bandstand_text text) {
    size_t characters = 0;
    for (size_t at = 0; at < text.len; at++) characters += ((unsigned char)text.ptr[at] & 0xc0) != 0x80;
    return characters;
}

/* The words that come most often. Sorts `words`. */
static bandstand_json *find_frequent(bandstand_text *words, size_t count) {
    frequent *found = bandstand_keep(NULL, count * sizeof *found);
    size_t different = 0;
    qsort(words, count, sizeof *words, by_word);
    for (size_t index = 0; index < count; index++) {
        if (index == 0 || by_word(&words[index - 1], &words[index]) != 0) found[different++].word = words[index];
        found[different - 1].count++;
    }
    qsort(found, different, sizeof *found, by_count);
    bandstand_json *list = bandstand_list();
    for (size_t index = 0; index < different && index < FREQUENT_MAX; index++) {
        bandstand_json *item = bandstand_object();
        bandstand_set(item, "word", bandstand_string(found[index].word));
        bandstand_set(item, "count", bandstand_number((double)found[index].count));
        bandstand_push(list, item);
    }
    return list;
}

/* The quotient with two decimals, half up. In whole numbers, so that every language gives the same. */
static double hundredths(size_t dividend, size_t divisor) {
    return (double)(((uint64_t)dividend * 200 + divisor) / (divisor * 2)) / 100;
}

bandstand_outcome bandstand_run(const bandstand_call *call) {
    bandstand_input input = bandstand_read_input(call);
    bandstand_text text = bandstand_need_text(&input, "text");
    /* Ends the call another way, so that hosts can be tried out. */
    bandstand_text fail = bandstand_may_one_of(&input, "fail", "recoverable", "permanent", "crash", "spin", "hoard", NULL);
    if (input.misfit) return bandstand_misfit(&input);
    if (bandstand_text_is(fail, "recoverable")) return bandstand_recoverable("try-later", "asked to fail for now", 1500);
    if (bandstand_text_is(fail, "permanent")) return bandstand_permanent("asked-to-fail", "asked to fail for good");
    if (bandstand_text_is(fail, "crash")) bandstand_crash("asked to crash");
    for (volatile unsigned turns = 0; bandstand_text_is(fail, "spin"); turns++) continue;
    while (bandstand_text_is(fail, "hoard")) memset(bandstand_keep(NULL, 1 << 20), 1, 1 << 20);

    size_t count, sentences;
    bandstand_text *words = find_words(text, &count, &sentences);
    if (count == 0) return bandstand_permanent("text-empty", "`text` holds no word");
    bandstand_text longest = words[0];
    for (size_t index = 1; index < count; index++) {
        if (words[index].len > longest.len) longest = words[index];
    }
    bandstand_json *fields = bandstand_object();
    bandstand_set(fields, "words", bandstand_number((double)count));
    bandstand_log(BANDSTAND_INFO, "counted", fields);

    bandstand_json *output = bandstand_object();
    bandstand_set(output, "characters", bandstand_number((double)count_characters(text)));
    bandstand_set(output, "words", bandstand_number((double)count));
    bandstand_set(output, "sentences", bandstand_number((double)sentences));
    bandstand_set(output, "paragraphs", bandstand_number((double)count_paragraphs(text)));
    bandstand_set(output, "longest_word", bandstand_string(longest));
    bandstand_set(output, "words_per_sentence", bandstand_number(hundredths(count, sentences)));
    bandstand_set(output, "frequent", find_frequent(words, count));
    return bandstand_reply(output);
}
