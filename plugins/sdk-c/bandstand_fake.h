/* The host as tests see it off wasm: one small memory for the process, without the host's limits, ranking or durability. Link
 * `bandstand_fake.c` in place of `bandstand_wasm.c`. */
#ifndef BANDSTAND_FAKE_H
#define BANDSTAND_FAKE_H

#include "bandstand.h"

/* Forgets everything. */
void bandstand_fake_reset(void);
/* Runs the agent on JSON text as its input, in a first attempt. */
bandstand_outcome bandstand_fake_run(const char *input);
/* Answers all calls of models and tools from now on with this; NULL: refuses them. */
void bandstand_fake_answer(const char *answer);
/* Refuses all memory from now on, as a host without the grant. */
void bandstand_fake_deny_memory(void);
/* What was logged and shown: an object of the lists `logged`, `shown` and `audit`. */
const bandstand_json *bandstand_fake_seen(void);

#endif
